with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

orders as (
    select * from {{ ref('stg_shopify__orders') }}
    where {{ tenant_filter() }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

{# Other exchange rates change currencies without a load. -#}
{% if uses_change_tracking() and not converts_currencies() -%}
order_changes as (
    select * from {{ ref('stg_shopify__order_changes') }}
),

-- Orders are counted again if orders were loaded since the last count, or if they were never
-- counted. The subquery is one index lookup per tenant; for a join the planner would read all
-- orders.
last_counts as (
    select
        b.tenant_id,
        b.currency,
        (
            select o.landed_xid from order_changes as o
            where o.tenant_id = b.tenant_id and o.landed_xid is not null
            order by o.landed_xid desc
            limit 1
        ) >= b.changes_from as has_changed
    from builds as b
    inner join tenants as t on b.tenant_id = t.tenant_id
    where t.currency is null and b.changes_from <= pg_snapshot_xmax(pg_current_snapshot())
),

previous_currencies as (
    select
        tenant_id,
        currency
    from last_counts
    where not coalesce(has_changed, false)
),
{%- else -%}
previous_currencies as (
    select
        tenant_id,
        currency
    from builds
    where false
),
{%- endif %}

tenants_to_count as (
    select t.tenant_id
    from tenants as t
    left join previous_currencies as k on t.tenant_id = k.tenant_id
    where t.currency is null and k.tenant_id is null
),

orders_per_currency as (
    select
        o.tenant_id,
        o.currency,
        count(*) as order_count
    from orders as o
    inner join tenants_to_count as t on o.tenant_id = t.tenant_id
    group by o.tenant_id, o.currency
),

most_used_currencies as (
    select distinct on (tenant_id)
        tenant_id,
        currency
    from orders_per_currency
    order by tenant_id asc, order_count desc, currency asc
),

resolved as (
    select
        t.tenant_id,
        coalesce(t.currency, m.currency, k.currency) as currency
    from tenants as t
    left join most_used_currencies as m on t.tenant_id = m.tenant_id
    left join previous_currencies as k on t.tenant_id = k.tenant_id
),

final as (
    select
        s.tenant_id,
        s.currency,
        coalesce(e.exponent, 2) as currency_exponent
    from resolved as s
    left join currency_exponents as e on s.currency = e.currency
)

select * from final
