with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

orders as (
    select * from {{ ref('int_orders_assessed_for_rfm') }}
),

final as (
    select
        o.tenant_id,
        o.instants_back,
        o.customer_id,
        max(o.ordered_at) as last_order_at,
        count(*)::int as frequency_count,
        sum(o.net_minor) as monetary_minor
    from orders as o
    inner join tenants as t on o.tenant_id = t.tenant_id
    where o.is_counted
    group by o.tenant_id, o.instants_back, o.customer_id
)

select * from final
