with

orders as (
    select * from {{ ref('stg_shopify__orders') }}
),

samples as (
    select * from {{ ref('int_orders_matched_as_samples') }}
),

-- is_counted and exclusion_reason say the same thing twice on purpose: a plain condition is what
-- the planner can estimate and push into the scan. A data test holds them together.
final as (
    select
        o.tenant_id,
        o.order_id,
        o.customer_id,
        o.currency,
        o.total_minor - o.refunded_minor as net_minor,
        not o.is_test
        and o.cancelled_at is null
        and coalesce(upper(o.financial_status) <> 'VOIDED', true)
        and o.total_minor > o.refunded_minor
        and s.order_id is null
        and o.customer_id is not null as is_counted,
        case
            when o.is_test then 'test_order'
            when o.cancelled_at is not null then 'cancelled'
            when upper(o.financial_status) = 'VOIDED' then 'voided'
            when o.total_minor <= o.refunded_minor then 'no_net_value'
            when s.order_id is not null then 'sample'
            when o.customer_id is null then 'no_customer'
        end as exclusion_reason,
        o.ordered_at
    from orders as o
    left join samples as s on o.tenant_id = s.tenant_id and o.order_id = s.order_id
)

select * from final
