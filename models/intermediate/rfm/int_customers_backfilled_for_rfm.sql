with

orders as (
    select * from {{ ref('int_orders_assessed_for_rfm') }}
    where instants_back > 0 and {{ tenant_filter() }}
),

segments as materialized (
    select * from {{ ref('int_segments_listed_by_score') }}
),

customers as (
    select
        tenant_id,
        instants_back,
        customer_id,
        max(ordered_at) as last_order_at,
        count(*)::int as order_count,
        sum(net_minor) as net_minor
    from orders
    where is_counted
    group by tenant_id, instants_back, customer_id
),

-- Materialized: where tables have no statistics yet, the planner expects one customer and would
-- calculate the values again for each.
cut_values as materialized (
    select
        tenant_id,
        instants_back,
        {{ cut_values('last_order_at', 'desc') }} as last_order_cuts,
        {{ cut_values('order_count', 'asc') }} as frequency_cuts,
        {{ cut_values('net_minor', 'asc') }} as monetary_cuts
    from customers
    group by tenant_id, instants_back
),

scored as (
    select
        c.*,
        {{ score_below('c.last_order_at', 'v.last_order_cuts') }} as r_score,
        {{ score_above('c.order_count', 'v.frequency_cuts') }} as f_score,
        {{ score_above('c.net_minor', 'v.monetary_cuts') }} as m_score
    from customers as c
    inner join cut_values as v on c.tenant_id = v.tenant_id and c.instants_back = v.instants_back
),

final as (
    select
        s.tenant_id,
        s.instants_back,
        s.customer_id,
        {{ segment_of_scores('s', 'g.segments') }} as segment,
        s.net_minor
    from scored as s
    inner join segments as g on s.tenant_id = g.tenant_id
)

select * from final
{%- if not var('backfill') %}
where false
{%- endif %}
