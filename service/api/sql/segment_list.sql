-- name: list_rfm_figures
-- Each RFM segment of the last build: its size, and how the size changed since the build before and
-- since the newest recorded day that is at least 30 days older; and the number of all customers in
-- that build, scored or not. The marts of the release before lack the size at the build before and
-- that number, until the next build.
with newest as (
    select max(n.recorded_on) as last_on
    from marts.rfm_segment_history as n
    where n.tenant_id = %(tenant_id)s
),

days as (
    select max(h.recorded_on) filter (where h.recorded_on <= n.last_on - 30) as month_on
    from marts.rfm_segment_history as h
    cross join newest as n
    where h.tenant_id = %(tenant_id)s
)

select
    s.segment,
    s.customers as members,
    s.customer_share as share,
    s.customers - (to_jsonb(s) ->> 'previous_customers')::int as change,
    s.customers - m.customers as change_30_days,
    s.calculated_at as as_of,
    coalesce(f.label, s.segment) as label,
    (
        select (to_jsonb(q) ->> 'known_customers')::bigint
        from marts.rfm_data_quality as q
        where q.tenant_id = %(tenant_id)s
    ) as all_customers
from marts.rfm_segment_summary as s
left join marts.rfm_segment_definitions as f
    on f.tenant_id = %(tenant_id)s and s.segment = f.segment
cross join days as d
left join marts.rfm_segment_history as m
    on
        m.tenant_id = %(tenant_id)s
        and s.segment = m.segment
        and d.month_on = m.recorded_on
where s.tenant_id = %(tenant_id)s
order by s.priority;

-- name: list_segments
-- A page of the segments of all sources with one extra row, or one of them. RFM segments come as a
-- parameter, because their marts may not exist yet. Sizes of the others are compared with those at
-- the reading before the last one, and on the newest day at least 30 days before it.
with rfm as (
    select
        'rfm:' || r.segment as id,
        'rfm' as source,
        r.label as name,
        r.definition,
        r.description,
        r.colour,
        r.members,
        r.share,
        r.change,
        r.change_30_days,
        r.as_of,
        null::timestamptz as gone_at
    from jsonb_to_recordset(%(rfm_segments)s) as r (
        segment text,
        label text,
        definition text,
        description text,
        colour text,
        members bigint,
        share numeric,
        change bigint,
        change_30_days bigint,
        as_of timestamptz
    )
),

lists as (
    select
        c.list_id,
        coalesce(l.name, min(c.list_name)) as name,
        l.gone_at,
        greatest(l.full_read_at, max(c.planned_at), max(c.last_synced_at)) as as_of
    from app.klaviyo_sync_configs as c
    left join app.klaviyo_lists as l
        on l.tenant_id = %(tenant_id)s and c.list_id = l.list_id
    where c.tenant_id = %(tenant_id)s and c.direction in ('pull', 'bidirectional')
    group by c.list_id, l.name, l.gone_at, l.full_read_at
),

synced as (
    select
        'shopify:' || s.segment_id as id,
        'shopify' as source,
        s.name,
        s.query as definition,
        null as description,
        s.member_count::bigint as members,
        s.synced_at as as_of,
        s.gone_at
    from shopify.cached_segments as s
    where s.tenant_id = %(tenant_id)s

    union all

    select
        'klaviyo:' || l.list_id as id,
        'klaviyo' as source,
        l.name,
        null as definition,
        null as description,
        z.members,
        l.as_of,
        l.gone_at
    from lists as l
    left join lateral (
        select n.members::bigint
        from app.segment_sizes as n
        where n.tenant_id = %(tenant_id)s and n.segment_id = 'klaviyo:' || l.list_id
        order by n.recorded_on desc
        limit 1
    ) as z on true
),

segments as (
    select * from rfm

    union all

    select
        s.id,
        s.source,
        s.name,
        s.definition,
        s.description,
        null as colour,
        s.members,
        case
            when s.members <= %(customers)s
                then round(s.members / nullif(%(customers)s, 0)::numeric, 4)
        end as share,
        s.members - d.previous_members as change,
        s.members - m.members as change_30_days,
        s.as_of,
        s.gone_at
    from synced as s
    left join lateral (
        select
            n.recorded_on as last_on,
            n.previous_members
        from app.segment_sizes as n
        where n.tenant_id = %(tenant_id)s and n.segment_id = s.id
        order by n.recorded_on desc
        limit 1
    ) as d on true
    left join lateral (
        select n.members
        from app.segment_sizes as n
        where
            n.tenant_id = %(tenant_id)s
            and n.segment_id = s.id
            and n.recorded_on <= d.last_on - 30
        order by n.recorded_on desc
        limit 1
    ) as m on true
),

sortable as (
    select
        s.*,
        lower(s.name) as sort_name,
        coalesce(s.members, -1) as sort_members,
        coalesce(s.change_30_days, -9223372036854775808) as sort_change
    from segments as s
    where
        (%(segment_id)s::text is null or s.id = %(segment_id)s)
        and (%(source)s::text is null or s.source = %(source)s)
        and (
            %(pattern)s::text is null
            or s.name ilike %(pattern)s
            or s.definition ilike %(pattern)s
        )
),

page as (
    select s.*
    from sortable as s
    where {is_after}
    order by {sort_key}
    limit %(row_limit)s
)

select
    s.*,
    coalesce(
        (
            select
                jsonb_agg(
                    jsonb_build_object(
                        'config_id', c.config_id,
                        'list_id', c.list_id,
                        'list_name', c.list_name,
                        'direction', c.direction,
                        'is_paused', c.is_paused
                    )
                    order by lower(c.list_name), c.config_id
                )
            from app.klaviyo_sync_configs as c
            where
                c.tenant_id = %(tenant_id)s
                and c.segment_key = s.id
                and c.direction <> 'pull'
        ),
        '[]'
    ) as lists,
    array(
        select d.code
        from app.promo_codes as d
        where
            d.tenant_id = %(tenant_id)s
            and s.id = any(d.segments)
            and d.wanted <> 'deleted'
        order by lower(d.code)
    ) as promo_codes,
    s.source <> 'klaviyo'
    or exists (
        select from app.klaviyo_sync_configs as c
        where
            c.tenant_id = %(tenant_id)s
            and 'klaviyo:' || c.list_id = s.id
            and c.direction in ('pull', 'bidirectional')
            and c.is_scheduled
            and not c.is_paused
    ) as is_scheduled
from page as s
order by {sort_key};

-- name: list_rfm_sizes
-- Members of an RFM segment by recorded day, oldest first.
select
    recorded_on,
    customers as members
from marts.rfm_segment_history
where
    tenant_id = %(tenant_id)s
    and segment = %(key)s
    and recorded_on >= %(since)s
order by recorded_on;

-- name: list_synced_sizes
-- Members of a Shopify segment or pulled list by recorded day, oldest first.
select
    recorded_on,
    members
from app.segment_sizes
where
    tenant_id = %(tenant_id)s
    and segment_id = %(segment_id)s
    and recorded_on >= %(since)s
order by recorded_on;
