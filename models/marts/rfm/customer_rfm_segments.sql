with

customers as (
    select * from {{ ref('int_customers_eligible_for_rfm') }}
),

currencies as (
    select * from {{ ref('int_tenants_given_currency') }}
),

segment_grid as (
    select * from {{ ref('rfm_segment_grid') }}
),

-- The k-th cut is the value that the first k fifths of a tenant's customers do not go beyond.
cut_values as (
    select
        tenant_id,
        {{ cut_values('last_order_at', 'desc') }} as last_order_cuts,
        {{ cut_values('frequency_count', 'asc') }} as frequency_cuts,
        {{ cut_values('monetary_minor', 'asc') }} as monetary_cuts
    from customers
    group by tenant_id
),

scored as (
    select
        c.*,
        {{ score_below('c.last_order_at', 'v.last_order_cuts') }} as r_score,
        {{ score_above('c.frequency_count', 'v.frequency_cuts') }} as f_score,
        {{ score_above('c.monetary_minor', 'v.monetary_cuts') }} as m_score
    from customers as c
    inner join cut_values as v on c.tenant_id = v.tenant_id
),

final as (
    select
        -- ids
        s.tenant_id,
        s.customer_id,
        s.email,

        -- scores
        s.r_score,
        s.f_score,
        s.m_score,
        g.segment,

        -- measures
        extract(day from {{ as_of() }} - s.last_order_at)::int as recency_days,
        s.frequency_count,
        {{ major_units('s.monetary_minor', 'c.currency_exponent') }} as monetary_total,
        c.currency,

        -- timestamps
        s.last_order_at,
        {{ as_of() }} as calculated_at
    from scored as s
    inner join currencies as c on s.tenant_id = c.tenant_id
    inner join segment_grid as g on s.r_score = g.r_score and s.f_score = g.f_score
)

select
    tenant_id,
    customer_id,
    email,
    r_score,
    f_score,
    m_score,
    segment,
    recency_days,
    frequency_count,
    monetary_total,
    currency,
    last_order_at,
    calculated_at
from final
