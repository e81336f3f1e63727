-- Near misses are a channel's orders of the last months: an index that ends with the day finds
-- those without reading all orders of the months. It takes the place of the one that led to a
-- channel.
drop index shopify.orders_channel_idx;

create index orders_channel_idx on shopify.orders (tenant_id, channel, processed_at)
where channel is not null;
