-- A plain select, for the same reason as in stg_shopify__orders.
select
    tenant_id,
    customer_id,
    email,
    display_name,
    marketing_state,
    tags,
    created_at,
    shopify_updated_at,
    landed_at
from {{ shopify_table('customers') }}
where deleted_at is null{{ ' and rejection_reason is null' if var('source_layout') != 'native' }}
