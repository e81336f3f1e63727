-- name: find_customer_in_segment
-- A customer with a segment in the last build; no row if there is none.
select customer_id
from marts.customer_facts
where tenant_id = %(tenant_id)s and segment = %(segment)s
order by window_minor
limit 1;

-- name: list_rfm_customer_ids
-- A page of scored customers, highest net spend in the window first, with one extra row: the first
-- ones of each segment by its index, then the first of these.
select p.*
from marts.rfm_segment_summary as s
cross join lateral (
    select
        f.customer_id,
        f.window_minor
    from marts.customer_facts as f
    where
        f.tenant_id = %(tenant_id)s
        and f.segment = s.segment
        and (
            %(pattern)s::text is null
            or (
                lower(f.email collate "C") like %(screen)s
                and lower(f.email) collate "C" like lower(%(pattern)s)
            )
            or f.phone like %(pattern)s
            or f.customer_id = %(q)s
        )
        and (
            %(after_window_minor)s::numeric is null
            or (f.window_minor, f.customer_id) < (%(after_window_minor)s, %(after_customer_id)s)
        )
    order by f.window_minor desc, f.customer_id desc
    limit %(row_limit)s
) as p
where
    s.tenant_id = %(tenant_id)s
    and (%(segment)s::text is null or s.segment = %(segment)s)
order by p.window_minor desc, p.customer_id desc
limit %(row_limit)s;

-- name: describe_rfm_customers
-- Scored customers by id, with the reasons of their scores and their last change. One look-up for
-- each id: a plan that is kept for all parameters would otherwise read the tenant's customers.
with asked as (
    select i.customer_id
    from unnest(%(customer_ids)s::text[]) as i (customer_id)
)

select r.*
from asked as a
cross join lateral (
    select
        v.customer_id,
        v.email,
        v.phone,
        v.segment,
        v.r_score,
        v.f_score,
        v.m_score,
        v.r_reason,
        v.f_reason,
        v.m_reason,
        v.recency_days,
        v.frequency_count,
        v.monetary_total,
        v.currency,
        v.previous_segment,
        v.segment_changed_on,
        v.last_order_at
    from marts.customer_rfm_segments as v
    where v.tenant_id = %(tenant_id)s and v.customer_id = a.customer_id
    order by v.customer_id
    limit 1
) as r
order by r.monetary_total desc, r.customer_id desc;

-- name: list_rfm_history
-- Sizes of the segments on each recorded day of a period, oldest first. A day has the segments of
-- its time; those that no longer exist come last.
select
    h.recorded_on,
    h.as_of,
    h.currency,
    jsonb_agg(
        jsonb_build_object(
            'segment', h.segment, 'customers', h.customers, 'revenue', h.revenue::text
        )
        order by array_position(%(segments)s::text[], h.segment), h.segment
    ) as sizes
from marts.rfm_segment_history as h
where
    h.tenant_id = %(tenant_id)s
    and h.recorded_on between %(from_on)s and %(to_on)s
group by h.tenant_id, h.recorded_on, h.as_of, h.currency
order by h.recorded_on;

-- name: list_rfm_movements
-- Number of customers by segment on two recorded days.
select
    from_segment,
    to_segment,
    customers
from marts.rfm_segment_movements
where
    tenant_id = %(tenant_id)s
    and from_on = %(from_on)s
    and to_on = %(to_on)s
order by from_segment, to_segment;

-- name: find_rfm_quality
-- Whether a tenant's data is sufficient for RFM, with reasons. No row before its first build.
select
    verdict,
    reasons,
    customers,
    history_days,
    days_without_order,
    tied_order_count,
    tied_share,
    calculated_at
from marts.rfm_data_quality
where tenant_id = %(tenant_id)s;

-- name: find_rfm_recorded_days
-- The first and last recorded day, and the days used for two dates: for each, the newest day at or
-- before it. `to` defaults to the last day, and `from` to so many days before it or the first day.
with

days as (
    select distinct recorded_on
    from marts.rfm_segment_history
    where tenant_id = %(tenant_id)s
),

spans as (
    select
        min(recorded_on) as first_on,
        max(recorded_on) as last_on,
        max(recorded_on) filter (
            where recorded_on <= coalesce(%(to_date)s::date, 'infinity'::date)
        ) as to_on
    from days
),

starts as (
    select max(d.recorded_on) as from_on
    from days as d
    cross join spans as s
    where d.recorded_on <= coalesce(%(from_date)s::date, s.to_on - %(days_back)s::int)
)

select
    s.first_on,
    s.last_on,
    coalesce(t.from_on, case when %(from_date)s::date is null then s.first_on end) as from_on,
    s.to_on
from spans as s
cross join starts as t;

-- name: find_rfm_settings
-- A tenant's RFM settings.
select
    window_days,
    time_zone,
    minimum_minor,
    is_sample_counted,
    excluded_customer_ids,
    excluded_domains,
    relay_domains,
    additional_window_days,
    updated_at
from app.rfm_settings
where tenant_id = %(tenant_id)s;

-- name: list_rfm_summary
-- The segments of the saved rule in priority order with size and revenue, then former ones that
-- still have customers, until a build has applied the rule. Each row also has the tenant's totals,
-- and the time of its last build, with or without scored customers. The mart of the release before
-- lacks the median spend, until the next build.
with

rule as (
    select
        r.segment,
        r.label,
        r.colour,
        r.priority,
        r.description,
        r.suggested_action
    from jsonb_to_recordset(%(segments)s) as r (
        segment text,
        label text,
        colour text,
        priority int,
        description text,
        suggested_action text
    )
),

-- A former segment without customers is in the mart until the rule is applied.
segments as (
    select *
    from marts.rfm_segment_summary
    where
        tenant_id = %(tenant_id)s
        and (customers > 0 or segment in (select r.segment from rule as r))
),

totals as (
    select
        coalesce(sum(customers), 0)::bigint as customers,
        coalesce(sum(revenue), 0) as revenue
    from segments
)

select
    coalesce(r.segment, s.segment) as segment,
    coalesce(r.label, f.label, s.segment) as label,
    coalesce(r.colour, f.colour, '#66707a') as colour,
    coalesce(r.description, 'Replaced; the next calculation moves these customers')
        as description,
    coalesce(r.suggested_action, '') as suggested_action,
    coalesce(s.customers, 0) as customers,
    coalesce(s.customer_share, 0) as share,
    coalesce(s.revenue, 0) as revenue,
    coalesce(s.revenue_share, 0) as revenue_share,
    coalesce(s.orders, 0) as orders,
    s.average_order_value,
    (to_jsonb(s) ->> 'median_spend')::numeric as median_spend,
    s.median_recency_days,
    s.repeat_rate,
    t.customers as all_customers,
    t.revenue as all_revenue,
    b.currency,
    b.as_of as calculated_at
from rule as r
full join segments as s on r.segment = s.segment
-- A former segment may be one of the published ones.
left join marts.rfm_segments as f on r.segment is null and s.segment = f.segment
left join marts.rfm_builds as b on b.tenant_id = %(tenant_id)s
cross join totals as t
order by r.priority, s.segment;

-- name: list_rfm_thresholds
-- The requirement for each score, by metric, highest score first.
select
    metric,
    score,
    rule_in_words,
    cut_value,
    currency,
    customers,
    calculated_at
from marts.rfm_thresholds
where tenant_id = %(tenant_id)s
order by array_position(array['recency', 'frequency', 'monetary'], metric), score desc;

-- name: list_rfm_grid
-- The segment, customers and revenue of each combination of recency and frequency score.
select
    r_score,
    f_score,
    segment,
    segments_by_m_score,
    customers,
    revenue,
    currency,
    calculated_at
from marts.rfm_grid
where tenant_id = %(tenant_id)s
order by r_score desc, f_score desc;

-- name: list_rfm_cohorts
-- A page of the cohorts by month of the first order, newest first, with one extra row.
select
    cohort_month,
    segment,
    customers,
    lifetime_revenue,
    window_revenue,
    currency
from marts.rfm_cohorts
where
    tenant_id = %(tenant_id)s
    and (
        %(after_cohort_month)s::date is null
        or (cohort_month, segment) < (%(after_cohort_month)s, %(after_segment)s)
    )
order by cohort_month desc, segment desc
limit %(row_limit)s;

-- name: list_excluded_orders
-- A page of the orders that do not count, newest first, with one extra row. Those that could not be
-- read have no date and come last.
select e.*
from (
    select
        o.order_id,
        o.line_number,
        o.order_number,
        o.customer_id,
        o.primary_reason,
        o.exclusion_reasons,
        o.detail,
        o.net_amount,
        o.currency,
        o.ordered_at,
        coalesce(o.ordered_at, '0001-01-01 00:00:00+00') as sort_ordered_at,
        coalesce(o.order_id, 'line ' || o.line_number) as sort_id
    from marts.rfm_excluded_orders as o
    where
        o.tenant_id = %(tenant_id)s
        and (
            %(reason)s::text is null
            or %(reason)s = any(o.exclusion_reasons)
        )
) as e
where
    %(after_sort_ordered_at)s::timestamptz is null
    or (e.sort_ordered_at, e.sort_id) < (%(after_sort_ordered_at)s, %(after_sort_id)s)
order by e.sort_ordered_at desc, e.sort_id desc
limit %(row_limit)s;

-- name: list_rejected_rows
-- A page of the records that could not be read, newest first, with one extra row. Not the records
-- themselves, which hold personal data.
select
    entity,
    source_id,
    reason,
    rejected_at
from shopify.rejected_rows
where
    tenant_id = %(tenant_id)s
    and (%(entity)s::text is null or entity = %(entity)s)
    and (
        %(after_rejected_at)s::timestamptz is null
        or (rejected_at, entity, source_id)
        < (%(after_rejected_at)s, %(after_entity)s, %(after_source_id)s)
    )
order by rejected_at desc, entity desc, source_id desc
limit %(row_limit)s;
