-- An order counts for RFM exactly when nothing speaks against it.
select
    tenant_id,
    order_id,
    is_counted,
    exclusion_reason
from {{ ref('int_orders_assessed_for_rfm') }}
where is_counted <> (exclusion_reason is null)
