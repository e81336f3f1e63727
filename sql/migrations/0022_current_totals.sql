-- What an order is worth after returns and edits. total_minor is before them, and an exchanged
-- order or an unpaid one that was edited shows no refund. Null where the source does not tell.
alter table shopify.orders
add column current_total_minor bigint,
add column current_subtotal_minor bigint;

comment on column shopify.orders.current_total_minor is
'The total after returns, refunds and edits, in minor units of currency; null if unknown.';
comment on column shopify.orders.current_subtotal_minor is
'Goods after discounts, returns, refunds and edits, in minor units of currency; null if unknown.';

-- Stored orders lack both, so a shop's next sync reads all its orders again.
alter table shopify.sync_watermarks add column revision smallint not null default 0;

comment on column shopify.sync_watermarks.revision is
'Which fields were read; if the service reads more of them now, the watermark does not count.';
