-- Meant to be asked for one tenant and two days. All three are keys of every grouping below, so
-- that such a question reads that tenant's transitions and no more; without them it is every pair
-- of days.
with

history as (
    select * from {{ ref('rfm_segment_history') }}
),

transitions as (
    select * from {{ ref('rfm_segment_transitions') }}
),

-- Materialized, it would be made for all tenants and days before any of them is chosen.
days as not materialized (
    select
        tenant_id,
        recorded_on,
        as_of
    from history
    group by tenant_id, recorded_on, as_of
),

pairs as (
    select
        b.tenant_id,
        b.recorded_on as from_on,
        a.recorded_on as to_on,
        b.as_of as from_as_of,
        a.as_of as to_as_of
    from days as b
    inner join days as a on b.tenant_id = a.tenant_id and b.recorded_on < a.recorded_on
),

-- The last transition up to an instant tells where a customer stood then.
states as (
    select
        p.tenant_id,
        p.from_on,
        p.to_on,
        t.customer_id,
        (
            array_agg(t.to_segment order by t.as_of desc) filter (where t.as_of <= p.from_as_of)
        )[1] as from_segment,
        (array_agg(t.to_segment order by t.as_of desc))[1] as to_segment
    from pairs as p
    inner join transitions as t on p.tenant_id = t.tenant_id and p.to_as_of >= t.as_of
    group by p.tenant_id, p.from_on, p.to_on, t.customer_id
),

-- In none of the two is somebody who had left by then and has not come back.
final as (
    select
        tenant_id,
        from_on,
        to_on,
        coalesce(from_segment, 'none') as from_segment,
        coalesce(to_segment, 'none') as to_segment,
        count(*)::int as customers
    from states
    where from_segment is not null or to_segment is not null
    group by tenant_id, from_on, to_on, coalesce(from_segment, 'none'), coalesce(to_segment, 'none')
)

select
    tenant_id,
    from_on,
    to_on,
    from_segment,
    to_segment,
    customers
from final
