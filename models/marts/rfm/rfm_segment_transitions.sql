with

windows as (
    select * from {{ ref('int_windows_built_for_rfm') }}
),

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

segments_found as not materialized (
    select * from {{ ref('int_segments_found_by_build') }}
),

previous_transitions as not materialized (
    select * from {{ ref('int_transitions_valid_before_build') }}
),

-- Not materialized: the scan of a materialized CTE would keep parallel workers from sharing the
-- comparison of all customers.
as_of_times as not materialized (
    select
        w.tenant_id,
        w.instants_back,
        w.as_of
    from windows as w
    inner join tenants as t on w.tenant_id = t.tenant_id
    where w.is_recorded
),

-- Segment before each as-of time, under the number of that as-of time.
segments_before as (
    select
        tenant_id,
        customer_id,
        instants_back,
        from_segment,
        to_segment as segment,
        as_of,
        ended_as_of
    from previous_transitions

    union all

    select
        tenant_id,
        customer_id,
        instants_back - 1 as instants_back,
        null as from_segment,
        segment,
        null as as_of,
        null as ended_as_of
    from {{ ref('int_customers_backfilled_for_rfm') }}
    where {{ tenant_filter() }}
),

-- No segment before means entering, no segment after means leaving. A row that had ended may be
-- valid again.
compared as (
    select
        coalesce(a.tenant_id, b.tenant_id) as tenant_id,
        coalesce(a.customer_id, b.customer_id) as customer_id,
        coalesce(a.instants_back, b.instants_back) as instants_back,
        a.segment as to_segment,
        b.segment as from_segment,
        (a.segment is distinct from b.segment) as has_moved,
        b.from_segment as from_segment_before,
        b.as_of as as_of_before
    from segments_found as a
    full join segments_before as b
        on
            a.tenant_id = b.tenant_id
            and a.customer_id = b.customer_id
            and a.instants_back = b.instants_back
    where
        a.segment is distinct from b.segment
        or b.ended_as_of is not null
        -- In a backfill, a customer who stays at the first as-of time may move at a later one.
        or (b.as_of is not null and {{ 'true' if var('backfill') else 'false' }})
),

moves as (
    select
        c.tenant_id,
        c.customer_id,
        c.from_segment,
        c.to_segment,
        i.as_of
    from compared as c
    inner join as_of_times as i on c.tenant_id = i.tenant_id and c.instants_back = i.instants_back
    where c.has_moved

    union all

    select
        tenant_id,
        customer_id,
        from_segment_before as from_segment,
        from_segment as to_segment,
        as_of_before as as_of
    from compared
    where as_of_before is not null
),

final as (
    select
        tenant_id,
        customer_id,
        from_segment,
        to_segment,
        as_of,
        lead(as_of) over (partition by tenant_id, customer_id order by as_of) as ended_as_of
    from moves
)

select * from final
