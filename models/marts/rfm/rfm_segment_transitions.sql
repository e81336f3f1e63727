with

windows as (
    select * from {{ ref('int_windows_built_for_rfm') }}
),

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

facts as (
    select * from {{ ref('customer_facts') }}
    where segment is not null and {{ tenant_filter() }}
),

backfilled as not materialized (
    select * from {{ ref('int_customers_backfilled_for_rfm') }}
    where {{ tenant_filter() }}
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

states as (
    select
        f.tenant_id,
        f.customer_id,
        i.instants_back,
        f.segment
    from facts as f
    inner join as_of_times as i on f.tenant_id = i.tenant_id
    where i.instants_back = 0

    union all

    select
        b.tenant_id,
        b.customer_id,
        b.instants_back,
        b.segment
    from backfilled as b
    inner join as_of_times as i on b.tenant_id = i.tenant_id and b.instants_back = i.instants_back
),

{% if is_incremental() -%}
first_as_of_times as (
    select
        tenant_id,
        max(instants_back) as instants_back,
        min(as_of) as as_of
    from as_of_times
    group by tenant_id
),

-- Segments before the first as-of time: the rows that had not ended by then.
previous_rows as (
    select
        t.*,
        f.instants_back
    from {{ this }} as t
    inner join first_as_of_times as f on t.tenant_id = f.tenant_id
    where
        {{ tenant_filter('t.tenant_id') }}
        and t.as_of < f.as_of
        and (t.ended_as_of is null or t.ended_as_of >= f.as_of)
),
{%- else -%}
previous_rows as (
    select
        null::uuid as tenant_id,
        null::text as customer_id,
        null::text as from_segment,
        null::text as to_segment,
        null::timestamptz as as_of,
        null::timestamptz as ended_as_of,
        null::int as instants_back
    where false
),
{%- endif %}

-- Segment before each as-of time, under the number of that as-of time.
states_before as (
    select
        tenant_id,
        customer_id,
        instants_back,
        from_segment,
        to_segment as segment,
        as_of,
        ended_as_of
    from previous_rows

    union all

    select
        tenant_id,
        customer_id,
        instants_back - 1 as instants_back,
        null as from_segment,
        segment,
        null as as_of,
        null as ended_as_of
    from backfilled
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
    from states as a
    full join states_before as b
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
