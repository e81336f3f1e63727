-- What has changed since a build, so that the next one reads that and nothing else.

-- The transaction that wrote a row last. A clock could not do this: a transaction that commits late
-- brings rows with an early landed_at, which a build in between has not seen. Rows from before this
-- migration have none and need none, as the first build after it reads everything.
alter table shopify.orders
add column landed_xid xid8,
add column former_customer_ids text[] not null default '{}';

alter table shopify.orders alter column landed_xid set default pg_current_xact_id();

alter table shopify.customers add column landed_xid xid8;

alter table shopify.customers alter column landed_xid set default pg_current_xact_id();

create index orders_landed_idx on shopify.orders (tenant_id, landed_xid);

create index customers_landed_idx on shopify.customers (tenant_id, landed_xid);

-- Orders that a window gains or loses as days pass.
create index orders_processed_idx on shopify.orders (tenant_id, processed_at);

comment on column shopify.orders.landed_xid is
'Transaction that wrote the row last. Whoever changes a row by hand sets it to default.';
comment on column shopify.orders.former_customer_ids is
'Customers the order belonged to before, as after a merge of customers: their figures change, too.';
comment on column shopify.customers.landed_xid is
'Transaction that wrote the row last. Whoever changes a row by hand sets it to default.';
