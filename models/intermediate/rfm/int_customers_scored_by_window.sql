{%- set reasons = dict(order_exclusion_reasons(), **customer_and_window_exclusion_reasons()) -%}

with

windows as (
    select * from {{ ref('int_windows_added_for_rfm') }}
),

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
    where {{ tenant_filter() }}
),

samples as not materialized (
    select * from {{ ref('int_orders_matched_as_samples') }}
    where {{ tenant_filter() }}
),

customers as not materialized (
    select * from {{ ref('customer_facts') }}
    where {{ tenant_filter() }}
),

segments as materialized (
    select * from {{ ref('int_segments_listed_by_score') }}
),

-- PostgreSQL asks once whether there are additional windows, before it reads any order.
figures as (
    select
        o.tenant_id,
        w.window_days,
        o.customer_id,
        max(o.ordered_at) as last_order_at,
        count(*)::int as order_count,
        sum(o.net_minor) as net_minor
    from orders as o
    inner join windows as w on o.tenant_id = w.tenant_id
    left join samples as s on o.tenant_id = s.tenant_id and o.order_id = s.order_id
    left join customers as c on o.tenant_id = c.tenant_id and o.customer_id = c.customer_id
    where
        exists (select a.tenant_id from windows as a)
        and {{ none_of(reasons) }}
    group by o.tenant_id, w.window_days, o.customer_id
),

-- Materialized: where tables have no statistics yet, the planner expects one customer and would
-- calculate the values again for each.
cut_values as materialized (
    select
        tenant_id,
        window_days,
        {{ cut_values('last_order_at', 'desc') }} as last_order_cuts,
        {{ cut_values('order_count', 'asc') }} as frequency_cuts,
        {{ cut_values('net_minor', 'asc') }} as monetary_cuts
    from figures
    group by tenant_id, window_days
),

scored as (
    select
        f.*,
        {{ score_below('f.last_order_at', 'v.last_order_cuts') }} as r_score,
        {{ score_above('f.order_count', 'v.frequency_cuts') }} as f_score,
        {{ score_above('f.net_minor', 'v.monetary_cuts') }} as m_score
    from figures as f
    inner join cut_values as v on f.tenant_id = v.tenant_id and f.window_days = v.window_days
),

final as (
    select
        s.tenant_id,
        s.window_days,
        s.customer_id,
        s.r_score,
        s.f_score,
        s.m_score,
        {{ segment_of_scores('s', 'g.segments') }} as segment,
        s.last_order_at,
        s.order_count,
        s.net_minor
    from scored as s
    inner join segments as g on s.tenant_id = g.tenant_id
)

select * from final
