-- The lines of a CSV file, good (without a reason) and bad. In Shopify's export an order's first
-- line has one of its items, further lines have the others; together they are in line_items.
create temporary table csv_orders (
    line_number bigint not null,
    order_id text,
    order_number text,
    customer_id text,
    customer_email text,
    customer_name text,
    processed_at timestamptz,
    cancelled_at timestamptz,
    is_test boolean,
    currency text,
    total_minor bigint,
    subtotal_minor bigint,
    refunded_minor bigint,
    financial_status text,
    fulfillment_status text,
    channel text,
    tags text[],
    note text,
    first_fulfilled_at timestamptz,
    updated_at timestamptz,
    line_item jsonb,
    line_items jsonb,
    is_further_item boolean,
    reason text,
    payload jsonb
) on commit drop
