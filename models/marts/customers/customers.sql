with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
),

landed_customers as (
    select * from {{ ref('stg_shopify__customers') }}
),

assessed_orders as (
    select * from {{ ref('int_orders_assessed_for_rfm') }}
),

excluded_customers as (
    select * from {{ ref('int_customers_excluded_from_rfm') }}
),

scores as (
    select * from {{ ref('customer_rfm_scores') }}
),

shopify_segments as (
    select * from {{ ref('stg_shopify__segments') }}
),

segment_members as (
    select * from {{ ref('stg_shopify__segment_members') }}
),

sample_orders as (
    select * from {{ ref('sample_orders') }}
),

-- All sales up to the build, in the window or before it.
lifetimes as (
    select
        tenant_id,
        customer_id,
        count(*)::int as order_count,
        sum(net_minor) as net_minor,
        min(ordered_at) as first_order_at,
        max(ordered_at) as last_order_at
    from assessed_orders
    where is_sale and instants_back = 0 and ordered_at < as_of and customer_id is not null
    group by tenant_id, customer_id
),

memberships as (
    select
        m.tenant_id,
        m.customer_id,
        array_agg(s.segment_name order by s.segment_name, s.segment_id) as segment_names
    from segment_members as m
    inner join shopify_segments as s on m.tenant_id = s.tenant_id and m.segment_id = s.segment_id
    group by m.tenant_id, m.customer_id
),

samples as (
    select
        tenant_id,
        customer_id,
        count(*)::int as sample_count
    from sample_orders
    where customer_id is not null
    group by tenant_id, customer_id
),

current_scores as (
    select * from scores
    where instants_back = 0
),

-- Whoever the store has, and whoever only orders name.
known_customers as (
    select
        tenant_id,
        customer_id
    from landed_customers

    union distinct

    select
        tenant_id,
        customer_id
    from lifetimes

    union distinct

    select
        tenant_id,
        customer_id
    from samples
),

final as (
    select
        -- who
        k.tenant_id,
        k.customer_id,
        coalesce(c.email, r.email) as email,
        c.display_name,
        c.marketing_state,
        x.customer_id is not null as is_excluded_from_rfm,

        -- lifetime
        coalesce(l.order_count, 0) as lifetime_order_count,
        {{ major_units('coalesce(l.net_minor, 0)', 'b.currency_exponent') }} as lifetime_total,
        l.first_order_at,
        l.last_order_at,

        -- in the window
        coalesce(r.frequency_count, 0) as window_order_count,
        {{ major_units('coalesce(r.monetary_minor, 0)', 'b.currency_exponent') }} as window_total,
        r.r_score,
        r.f_score,
        r.m_score,
        r.segment as rfm_segment,

        -- elsewhere
        coalesce(m.segment_names, '{}') as shopify_segments,
        coalesce(s.sample_count, 0) as sample_count,
        b.currency
    from known_customers as k
    inner join tenants as t on k.tenant_id = t.tenant_id
    inner join builds as b on k.tenant_id = b.tenant_id
    left join landed_customers as c on k.tenant_id = c.tenant_id and k.customer_id = c.customer_id
    left join excluded_customers as x on k.tenant_id = x.tenant_id and k.customer_id = x.customer_id
    left join lifetimes as l on k.tenant_id = l.tenant_id and k.customer_id = l.customer_id
    left join current_scores as r on k.tenant_id = r.tenant_id and k.customer_id = r.customer_id
    left join memberships as m on k.tenant_id = m.tenant_id and k.customer_id = m.customer_id
    left join samples as s on k.tenant_id = s.tenant_id and k.customer_id = s.customer_id
)

select
    tenant_id,
    customer_id,
    email,
    display_name,
    marketing_state,
    is_excluded_from_rfm,
    lifetime_order_count,
    lifetime_total,
    first_order_at,
    last_order_at,
    window_order_count,
    window_total,
    r_score,
    f_score,
    m_score,
    rfm_segment,
    shopify_segments,
    sample_count,
    currency
from final
