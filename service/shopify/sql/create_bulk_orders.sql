-- What has been read of a bulk operation's orders and of their lines, which come apart: each with
-- the number of the block of the file it was in, because nearly all lines are near their order.
create temporary table bulk_orders (
    block integer not null,
    order_id text not null,
    order_number text,
    customer_id text,
    customer_email text,
    customer_name text,
    processed_at timestamptz not null,
    cancelled_at timestamptz,
    is_test boolean not null,
    currency text not null,
    total_minor bigint not null,
    subtotal_minor bigint,
    refunded_minor bigint not null,
    financial_status text,
    fulfillment_status text,
    channel text,
    tags text[] not null,
    note text,
    first_fulfilled_at timestamptz,
    delivered_at timestamptz,
    shopify_updated_at timestamptz not null
) on commit drop;

create temporary table bulk_lines (
    block integer not null,
    order_id text not null,
    line_id bigint not null,
    currency text not null,
    total_minor bigint not null,
    item jsonb not null
) on commit drop;

create index bulk_orders_block_idx on pg_temp.bulk_orders (block);

create index bulk_lines_block_idx on pg_temp.bulk_lines (block);

-- Orders with a line too far away to have been landed with them.
create temporary table bulk_late (
    order_id text not null
) on commit drop
