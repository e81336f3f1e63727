-- depends_on: {{ ref('rfm_builds') }}
-- depends_on: {{ ref('int_windows_built_for_rfm') }}
with

customers as (
    select * from {{ ref('int_customers_addressed_for_rfm') }}
),

segment_grid as (
    select * from {{ ref('rfm_segment_grid') }}
),

-- The k-th cut is the value that the first k fifths of a tenant's customers do not go beyond.
cut_values as (
    select
        tenant_id,
        instants_back,
        {{ cut_values('last_order_at', 'desc') }} as last_order_cuts,
        {{ cut_values('frequency_count', 'asc') }} as frequency_cuts,
        {{ cut_values('monetary_minor', 'asc') }} as monetary_cuts
    from customers
    group by tenant_id, instants_back
),

scored as (
    select
        c.*,
        {{ score_below('c.last_order_at', 'v.last_order_cuts') }} as r_score,
        {{ score_above('c.frequency_count', 'v.frequency_cuts') }} as f_score,
        {{ score_above('c.monetary_minor', 'v.monetary_cuts') }} as m_score
    from customers as c
    inner join cut_values as v on c.tenant_id = v.tenant_id and c.instants_back = v.instants_back
),

final as (
    select
        -- ids
        s.tenant_id,
        s.instants_back,
        s.customer_id,
        s.email,

        -- scores
        s.r_score,
        s.f_score,
        s.m_score,
        g.segment,

        -- measures
        s.frequency_count,
        s.monetary_minor,

        -- timestamps
        s.last_order_at
    from scored as s
    inner join segment_grid as g on s.r_score = g.r_score and s.f_score = g.f_score
)

select
    tenant_id,
    instants_back,
    customer_id,
    email,
    r_score,
    f_score,
    m_score,
    segment,
    frequency_count,
    monetary_minor,
    last_order_at
from final
