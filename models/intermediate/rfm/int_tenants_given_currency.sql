with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

orders as (
    select * from {{ ref('stg_shopify__orders') }}
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

orders_per_currency as (
    select
        o.tenant_id,
        o.currency,
        count(*) as order_count
    from orders as o
    inner join tenants as t on o.tenant_id = t.tenant_id
    where t.currency is null
    group by o.tenant_id, o.currency
),

most_used_currencies as (
    select distinct on (tenant_id)
        tenant_id,
        currency
    from orders_per_currency
    order by tenant_id asc, order_count desc, currency asc
),

settled as (
    select
        t.tenant_id,
        coalesce(t.currency, m.currency) as currency
    from tenants as t
    left join most_used_currencies as m on t.tenant_id = m.tenant_id
),

final as (
    select
        s.tenant_id,
        s.currency,
        coalesce(e.exponent, 2) as currency_exponent
    from settled as s
    left join currency_exponents as e on s.currency = e.currency
)

select * from final
