-- Fills the table of the file's lines.
copy pg_temp.csv_orders (
    line_number,
    order_id,
    order_number,
    customer_id,
    customer_email,
    customer_name,
    processed_at,
    cancelled_at,
    is_test,
    currency,
    total_minor,
    subtotal_minor,
    refunded_minor,
    financial_status,
    fulfillment_status,
    channel,
    tags,
    updated_at,
    reason,
    payload
) from stdin
