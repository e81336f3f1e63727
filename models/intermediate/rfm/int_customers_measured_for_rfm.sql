with

orders as (
    select * from {{ ref('int_orders_assessed_for_rfm') }}
),

currencies as (
    select * from {{ ref('int_tenants_given_currency') }}
),

settings as (
    select * from {{ ref('stg_app__rfm_settings') }}
),

-- Days of exactly 24 hours, so that the session's time zone has no say.
windows as (
    select
        c.tenant_id,
        c.currency,
        {{ as_of() }} - make_interval(hours => 24 * s.window_days) as starts_at,
        {{ as_of() }} as ends_at
    from currencies as c
    inner join settings as s on c.tenant_id = s.tenant_id
),

-- Amounts in two currencies have no sum: an order in another currency than the tenant's is left
-- out altogether, so that frequency and monetary value speak of the same orders.
final as (
    select
        o.tenant_id,
        o.customer_id,
        max(o.ordered_at) as last_order_at,
        count(*)::int as frequency_count,
        sum(o.net_minor) as monetary_minor
    from orders as o
    inner join windows as w
        on
            o.tenant_id = w.tenant_id
            and o.currency = w.currency
            and o.ordered_at >= w.starts_at
            and o.ordered_at < w.ends_at
    where o.is_counted
    group by o.tenant_id, o.customer_id
)

select * from final
