-- The floor, and the three scores of each of its rows: aggregate, cut values, one linear pass. What
-- RFM takes where nothing but the window is asked for: no lifetime, no exclusions, no samples.
with measured as materialized (
    select
        tenant_id,
        customer_id,
        max(processed_at) as last_order_at,
        count(*) as frequency_count,
        sum(least(total_minor - refunded_minor, current_total_minor)) as monetary_minor
    from shopify.orders
    where
        processed_at >= %(as_of)s::timestamptz - interval '365 days'
        and processed_at < %(as_of)s::timestamptz
    group by tenant_id, customer_id
),

cut_values as (
    select
        tenant_id,
        percentile_disc(array[0.2, 0.4, 0.6, 0.8]) within group (order by last_order_at desc)
            as last_order_cuts,
        percentile_disc(array[0.2, 0.4, 0.6, 0.8]) within group (order by frequency_count)
            as frequency_cuts,
        percentile_disc(array[0.2, 0.4, 0.6, 0.8]) within group (order by monetary_minor)
            as monetary_cuts
    from measured
    group by tenant_id
)

select
    m.*,
    5
    - (m.last_order_at < v.last_order_cuts[1])::int
    - (m.last_order_at < v.last_order_cuts[2])::int
    - (m.last_order_at < v.last_order_cuts[3])::int
    - (m.last_order_at < v.last_order_cuts[4])::int as r_score,
    1
    + (m.frequency_count > v.frequency_cuts[1])::int
    + (m.frequency_count > v.frequency_cuts[2])::int
    + (m.frequency_count > v.frequency_cuts[3])::int
    + (m.frequency_count > v.frequency_cuts[4])::int as f_score,
    1
    + (m.monetary_minor > v.monetary_cuts[1])::int
    + (m.monetary_minor > v.monetary_cuts[2])::int
    + (m.monetary_minor > v.monetary_cuts[3])::int
    + (m.monetary_minor > v.monetary_cuts[4])::int as m_score
from measured as m
inner join cut_values as v on m.tenant_id = v.tenant_id
