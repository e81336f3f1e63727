{%- set orders = shopify_table('orders') %}
{%- set current_total = column_or_null('current_total_minor', 'bigint', orders) %}
{%- set current_subtotal = column_or_null('current_subtotal_minor', 'bigint', orders) -%}

-- A plain select: only then can PostgreSQL inline the view into the query that reads it, so that
-- join keys and index order reach the table.
select
    tenant_id,
    order_id,
    order_number,
    customer_id,
    customer_email,
    {{ column_or_null('customer_phone', 'text', orders) }} as customer_phone,
    customer_name,
    currency,
    total_minor,
    subtotal_minor,
    refunded_minor,
    {{ current_total }} as current_total_minor,
    {{ current_subtotal }} as current_subtotal_minor,
    -- least() leaves out an unknown current total.
    least(total_minor - refunded_minor, {{ current_total }}) as net_minor,
    financial_status,
    fulfillment_status,
    channel,
    tags,
    note,
    line_items,
    source,
    is_test,
    processed_at as ordered_at,
    cancelled_at,
    first_fulfilled_at,
    delivered_at,
    shopify_updated_at,
    landed_at
from {{ orders_in_one_currency(orders) }}
where deleted_at is null{{ ' and rejection_reason is null' if var('source_layout') != 'native' }}
