-- A table of RFM as an analyst writes it by hand, for PostgreSQL and DuckDB: aggregate, cut values,
-- one linear pass. It reads a relation with the columns of peer_orders.
with measured as materialized (
    select
        tenant_id,
        customer_id,
        max(ordered_at) as last_order_at,
        count(*)::int as frequency_count,
        sum(net_minor)::bigint as monetary_minor
    from {orders}
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
    (
        5
        - (m.last_order_at < v.last_order_cuts[1])::int
        - (m.last_order_at < v.last_order_cuts[2])::int
        - (m.last_order_at < v.last_order_cuts[3])::int
        - (m.last_order_at < v.last_order_cuts[4])::int
    )::smallint as r_score,
    (
        1
        + (m.frequency_count > v.frequency_cuts[1])::int
        + (m.frequency_count > v.frequency_cuts[2])::int
        + (m.frequency_count > v.frequency_cuts[3])::int
        + (m.frequency_count > v.frequency_cuts[4])::int
    )::smallint as f_score,
    (
        1
        + (m.monetary_minor > v.monetary_cuts[1])::int
        + (m.monetary_minor > v.monetary_cuts[2])::int
        + (m.monetary_minor > v.monetary_cuts[3])::int
        + (m.monetary_minor > v.monetary_cuts[4])::int
    )::smallint as m_score
from measured as m
inner join cut_values as v on m.tenant_id = v.tenant_id
