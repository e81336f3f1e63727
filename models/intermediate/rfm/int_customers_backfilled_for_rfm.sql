with

orders as (
    select * from {{ ref('int_orders_assessed_for_rfm') }}
    where instants_back > 0 and {{ tenant_filter() }}
),

segment_grid as (
    select * from {{ ref('rfm_segment_grid') }}
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

cut_values as (
    select
        tenant_id,
        instants_back,
        {{ cut_values('last_order_at', 'desc') }} as last_order_cuts,
        {{ cut_values('order_count', 'asc') }} as frequency_cuts
    from customers
    group by tenant_id, instants_back
),

scored as (
    select
        c.*,
        {{ score_below('c.last_order_at', 'v.last_order_cuts') }} as r_score,
        {{ score_above('c.order_count', 'v.frequency_cuts') }} as f_score
    from customers as c
    inner join cut_values as v on c.tenant_id = v.tenant_id and c.instants_back = v.instants_back
),

final as (
    select
        s.tenant_id,
        s.instants_back,
        s.customer_id,
        g.segment,
        s.net_minor
    from scored as s
    inner join segment_grid as g on s.r_score = g.r_score and s.f_score = g.f_score
)

select * from final
{%- if not var('backfill') %}
where false
{%- endif %}
