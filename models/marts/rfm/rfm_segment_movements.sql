-- Filter this view by one tenant and two dates. All three are in every grouping below, so that such
-- a query reads only that tenant's transitions between the two dates. Without filters it computes
-- every pair of dates. CTEs that are read more than once must be `not materialized`; otherwise they
-- are computed for all tenants and dates before the filter applies.
with

history as not materialized (
    select * from {{ ref('rfm_segment_history') }}
),

transitions as (
    select * from {{ ref('rfm_segment_transitions') }}
),

days as not materialized (
    select
        tenant_id,
        recorded_on,
        as_of
    from history
    group by tenant_id, recorded_on, as_of
),

pairs as not materialized (
    select
        b.tenant_id,
        b.recorded_on as from_on,
        a.recorded_on as to_on,
        b.as_of as from_as_of,
        a.as_of as to_as_of
    from days as b
    inner join days as a on b.tenant_id = a.tenant_id and b.recorded_on < a.recorded_on
),

-- Customers with a transition in between: the origin of the first one and the destination of the
-- last one. Both aggregates use the same order, so PostgreSQL sorts only once.
moves as (
    select
        p.tenant_id,
        p.from_on,
        p.to_on,
        t.customer_id,
        (array_agg(t.from_segment order by t.as_of asc))[1] as from_segment,
        (array_agg(t.to_segment order by t.as_of asc))[count(*)] as to_segment
    from pairs as p
    inner join transitions as t
        on p.tenant_id = t.tenant_id and p.from_as_of < t.as_of and p.to_as_of >= t.as_of
    group by p.tenant_id, p.from_on, p.to_on, t.customer_id
),

-- Start with all customers in their first segment. Then subtract each customer who moved from there
-- and add them to the new cell.
cells as (
    select
        p.tenant_id,
        p.from_on,
        p.to_on,
        h.segment as from_segment,
        h.segment as to_segment,
        h.customers
    from pairs as p
    inner join history as h on p.tenant_id = h.tenant_id and p.from_on = h.recorded_on

    union all

    select
        m.tenant_id,
        m.from_on,
        m.to_on,
        coalesce(m.from_segment, 'none') as from_segment,
        coalesce(case when delta = 1 then m.to_segment else m.from_segment end, 'none')
            as to_segment,
        delta as customers
    from moves as m
    cross join unnest(array[-1, 1]) as delta
),

-- A customer who entered and left in between, or who was in no segment all the time, is in neither
-- segment.
final as (
    select
        tenant_id,
        from_on,
        to_on,
        from_segment,
        to_segment,
        sum(customers)::int as customers
    from cells
    where from_segment <> 'none' or to_segment <> 'none'
    group by tenant_id, from_on, to_on, from_segment, to_segment
    having sum(customers) <> 0
)

select * from final
