with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

known_creators as (
    select * from {{ ref('stg_app__creators') }}
),

identities as (
    select * from {{ ref('stg_app__creator_identities') }}
),

samples as (
    select * from {{ ref('sample_orders') }}
),

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
),

rfm_settings as (
    select * from {{ ref('stg_app__rfm_settings') }}
),

relay_domains as (
    select * from {{ ref('int_relay_domains_combined') }}
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

currencies as (
    select
        s.tenant_id,
        coalesce(
            min(t.currency), mode() within group (order by s.currency asc)
        ) as currency
    from samples as s
    inner join tenants as t on s.tenant_id = t.tenant_id
    group by s.tenant_id
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

addresses as (
    select
        tenant_id,
        creator_id,
        array_agg(known_as) as addresses
    from identities
    where kind = 'email'
    group by tenant_id, creator_id
),

-- Customers that are creators. A connector may book all its buyers on one customer, so these are
-- left out: customers with samples of two creators, behind a relay address, excluded from RFM, or
-- with another address than the creator's.
customers_of_creators as (
    select
        s.tenant_id,
        s.customer_id,
        min(s.creator_id::text)::uuid as creator_id
    from samples as s
    inner join rfm_settings as r on s.tenant_id = r.tenant_id
    left join addresses as a on s.tenant_id = a.tenant_id and s.creator_id = a.creator_id
    where
        s.creator_id is not null
        and s.customer_id is not null
        and not s.customer_id = any(r.excluded_customer_ids)
        and not exists (
            select
            from relay_domains as d
            where
                d.tenant_id = s.tenant_id
                and d.base_domain = {{ base_domain(email_domain('s.customer_email')) }}
                and '.' || {{ email_domain('s.customer_email') }} like d.pattern
        )
    group by s.tenant_id, s.customer_id
    having
        count(distinct s.creator_id) = 1
        and bool_and(
            a.addresses is null
            or coalesce(lower(btrim(s.customer_email)) = any(a.addresses), false)
        )
),

orders_of_creators as (
    select
        c.creator_id,
        o.*
    from customers_of_creators as c
    cross join lateral (
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
),

own_order_figures as (
    select
        o.tenant_id,
        o.creator_id,
        count(*)::int as own_orders,
        sum(o.net_minor) filter (where o.currency = c.currency) as own_orders_minor,
        max(o.ordered_at) as last_own_order_at
    from orders_of_creators as o
    inner join currencies as c on o.tenant_id = c.tenant_id
    left join samples as s on o.tenant_id = s.tenant_id and o.order_id = s.order_id
    where s.order_id is null
    group by o.tenant_id, o.creator_id
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
