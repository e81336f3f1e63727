-- What has been read of a bulk operation's customers.
create temporary table bulk_customers (
    block integer not null,
    customer_id text not null,
    email text,
    display_name text,
    marketing_state text,
    tags text[] not null,
    created_at timestamptz,
    shopify_updated_at timestamptz
) on commit drop;

create index bulk_customers_block_idx on pg_temp.bulk_customers (block)
