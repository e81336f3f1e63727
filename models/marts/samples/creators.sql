with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

known_creators as (
    select * from {{ ref('stg_app__creators') }}
),

samples as (
    select * from {{ ref('sample_orders') }}
),

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
),

customers_of_creators as (
    select * from {{ ref('int_customers_matched_to_creators') }}
),

currencies as (
    select * from {{ ref('int_tenants_given_sample_currency') }}
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

sample_figures as (
    select
        s.tenant_id,
        s.creator_id,
        count(*)::int as samples,
        (count(*) filter (where s.status in ('partial', 'fulfilled')))::int as samples_sent,
        sum(s.goods_value) filter (where s.currency = c.currency) as goods_value,
        max(s.ordered_at) as last_sample_at,
        max(s.first_fulfilled_at) as last_sent_at
    from samples as s
    inner join currencies as c on s.tenant_id = c.tenant_id
    where s.creator_id is not null and s.status <> 'cancelled'
    group by s.tenant_id, s.creator_id
),

own_order_figures as (
    select
        c.tenant_id,
        c.creator_id,
        count(*)::int as own_orders,
        sum(o.net_minor) filter (where o.currency = u.currency) as own_orders_minor,
        max(o.ordered_at) as last_own_order_at
    from customers_of_creators as c
    inner join currencies as u on c.tenant_id = u.tenant_id
    cross join
        lateral (
            select d.*
            from orders as d
            where
                d.tenant_id = c.tenant_id
                and d.customer_id = c.customer_id
                and not d.is_test
                and d.cancelled_at is null
                and coalesce(upper(d.financial_status) not in ('VOIDED', 'EXPIRED'), true)
                and d.net_minor > 0
            {{ 'offset 0' if are_orders_indexed() }} -- noqa: AM09
        ) as o
    left join samples as s on o.tenant_id = s.tenant_id and o.order_id = s.order_id
    where s.order_id is null
    group by c.tenant_id, c.creator_id
),

final as (
    select
        k.tenant_id,
        k.creator_id,
        k.handle,
        k.platform,
        k.display_name,
        k.email,
        k.profile_url,

        -- samples
        coalesce(s.samples, 0) as samples,
        coalesce(s.samples_sent, 0) as samples_sent,
        s.goods_value,
        s.last_sample_at,
        s.last_sent_at,

        -- own orders
        coalesce(b.own_orders, 0) as own_orders,
        {{ major_units('b.own_orders_minor', 'coalesce(e.exponent, 2)') }} as own_orders_total,
        b.last_own_order_at,
        u.currency
    from known_creators as k
    inner join tenants as t on k.tenant_id = t.tenant_id
    left join sample_figures as s on k.tenant_id = s.tenant_id and k.creator_id = s.creator_id
    left join own_order_figures as b on k.tenant_id = b.tenant_id and k.creator_id = b.creator_id
    left join currencies as u on k.tenant_id = u.tenant_id
    left join currency_exponents as e on u.currency = e.currency
)

select * from final
