-- name: list_rfm_day_changes
-- Each RFM segment on the newest recorded day, with its size on the recorded day before, and the
-- totals of both days, which also count segments that no longer exist.
with newest as (
    select max(h.recorded_on) as last_on
    from marts.rfm_segment_history as h
    where h.tenant_id = %(tenant_id)s
),

days as (
    select
        n.last_on,
        (
            select max(h.recorded_on)
            from marts.rfm_segment_history as h
            where h.tenant_id = %(tenant_id)s and h.recorded_on < n.last_on
        ) as previous_on
    from newest as n
),

totals as (
    select
        sum(h.customers) filter (where h.recorded_on = d.last_on)::bigint as total,
        sum(h.customers) filter (where h.recorded_on = d.previous_on)::bigint as former_total
    from days as d
    inner join marts.rfm_segment_history as h
        on
            h.tenant_id = %(tenant_id)s
            and h.recorded_on in (d.last_on, d.previous_on)
)

select
    'rfm:' || h.segment as id,
    d.label as name,
    d.colour,
    h.customers as members,
    p.customers as former_members,
    totals.total,
    totals.former_total,
    days.last_on,
    days.previous_on,
    p.as_of as previous_as_of
from marts.rfm_segment_history as h
cross join days
cross join totals
inner join marts.rfm_segment_definitions as d
    on d.tenant_id = %(tenant_id)s and h.segment = d.segment
left join marts.rfm_segment_history as p
    on
        p.tenant_id = %(tenant_id)s
        and h.segment = p.segment
        and days.previous_on = p.recorded_on
where h.tenant_id = %(tenant_id)s and h.recorded_on = days.last_on
order by d.priority;

-- name: list_synced_day_changes
-- The Shopify segments and pulled lists whose size changed most, by number of members, between the
-- recorded day before and the newest one, if that is not long ago, with both days.
with sizes as (
    select
        z.segment_id,
        z.recorded_on,
        z.members,
        lead(z.members) over newest_first as former_members,
        lead(z.recorded_on) over newest_first as previous_on,
        row_number() over newest_first as place
    from app.segment_sizes as z
    where z.tenant_id = %(tenant_id)s and z.recorded_on > current_date - 14
    window newest_first as (partition by z.segment_id order by z.recorded_on desc)
)

select
    z.segment_id as id,
    coalesce(s.name, l.name) as name,
    case when s.name is null then 'Klaviyo' else 'Shopify' end as source,
    z.members,
    z.former_members,
    z.recorded_on as last_on,
    z.previous_on
from sizes as z
left join shopify.cached_segments as s
    on
        s.tenant_id = %(tenant_id)s
        and z.segment_id = 'shopify:' || s.segment_id
        and s.gone_at is null
left join app.klaviyo_lists as l
    on
        l.tenant_id = %(tenant_id)s
        and z.segment_id = 'klaviyo:' || l.list_id
        and l.gone_at is null
where
    z.place = 1
    and z.members <> z.former_members
    and coalesce(s.name, l.name) is not null
order by abs(z.members - z.former_members) desc, z.segment_id asc
limit %(row_limit)s;

-- name: list_departures
-- Customers who left an RFM segment after a time and are not back: highest net spend first, with
-- their number.
with moved as (
    select distinct t.customer_id
    from marts.rfm_segment_transitions as t
    where
        t.tenant_id = %(tenant_id)s
        and t.from_segment = %(segment)s
        and t.as_of > %(since)s
)

select
    m.customer_id,
    coalesce(c.display_name, c.email, m.customer_id) as name,
    d.label as segment,
    d.colour,
    c.lifetime_minor,
    b.currency,
    b.currency_exponent,
    count(*) over () as departures
from moved as m
inner join marts.customer_facts as c
    on c.tenant_id = %(tenant_id)s and m.customer_id = c.customer_id
inner join marts.rfm_builds as b on b.tenant_id = %(tenant_id)s
left join marts.rfm_segment_definitions as d
    on d.tenant_id = %(tenant_id)s and c.segment = d.segment
where c.segment is distinct from %(segment)s
order by c.lifetime_minor desc nulls last, m.customer_id asc
limit %(row_limit)s;

-- name: find_waiting_samples
-- Pending samples, of which nothing was sent, by type, and how many days the oldest of them has
-- been waiting.
select
    coalesce(sum(s.pending) filter (where s.sample_type = 'all'), 0) as waiting,
    coalesce(sum(s.pending) filter (where s.sample_type = 'ugc'), 0) as ugc,
    coalesce(sum(s.pending) filter (where s.sample_type = 'tiktok'), 0) as tiktok,
    (
        select max(o.days_waiting)
        from marts.sample_orders as o
        where o.tenant_id = %(tenant_id)s and o.status = 'pending'
    ) as longest_days
from marts.sample_stats as s
where s.tenant_id = %(tenant_id)s;

-- name: list_failed_kinds
-- The kinds of runs whose newest finished run of the last week failed.
select *
from (
    select distinct on (r.kind)
        r.kind,
        r.state,
        r.error,
        r.advice,
        r.finished_at
    from app.runs as r
    where
        r.tenant_id = %(tenant_id)s
        and r.finished_at is not null
        and r.created_at > now() - interval '7 days'
    order by r.kind asc, r.finished_at desc
) as newest
where newest.state = 'failed'
order by newest.finished_at desc;

-- name: list_failing_endpoints
-- Endpoints of outgoing webhooks that fail, or were disabled because they did.
select
    endpoint_id,
    url,
    is_enabled,
    failing_since
from app.webhook_endpoints
where
    tenant_id = %(tenant_id)s
    and (
        (is_enabled and failing_since is not null)
        or disabled_reason in ('gone', 'failing')
    )
order by created_at, endpoint_id;
