-- name: insert_progress
-- Add the row that says up to where a tenant's events were processed.
insert into app.webhook_progress (tenant_id)
values (%(tenant_id)s)
on conflict (tenant_id) do nothing;

-- name: lock_progress
-- Up to where a tenant's events were processed, locked until the transaction ends.
select
    p.rfm_as_of,
    p.build_finished_at,
    p.shopify_snapshot::text as shopify_snapshot,
    p.are_samples_known,
    exists(
        select from app.webhook_endpoints as e
        where e.tenant_id = %(tenant_id)s and e.is_enabled
    ) as has_endpoints
from app.webhook_progress as p
where p.tenant_id = %(tenant_id)s
for update of p;

-- name: record_snapshot
-- Record up to where a tenant's changes of Shopify segments and of pulled lists have been
-- processed. A snapshot covers all tables, so one says it for both.
update app.webhook_progress
set shopify_snapshot = %(until_snapshot)s::text::pg_snapshot
where tenant_id = %(tenant_id)s;

-- name: record_build_progress
-- Record up to where a tenant's builds have been processed. The newest as-of time may be an earlier
-- one than before, if a backfill removed builds of the future.
update app.webhook_progress
set
    rfm_as_of = %(rfm_as_of)s,
    built_as_of = %(built_as_of)s,
    build_finished_at = %(build_finished_at)s,
    are_samples_known = %(are_samples_known)s,
    samples_as_of = %(samples_as_of)s
where tenant_id = %(tenant_id)s;

-- name: find_build_runs
-- The end of the tenant's newest successful build, and whether what is built may not be the result
-- of one: a build is running, or the newest one failed.
select
    max(r.finished_at) filter (where r.state = 'succeeded') as finished_at,
    coalesce(
        bool_or(r.state = 'running')
        or max(r.finished_at) filter (where r.state = 'failed')
        > coalesce(max(r.finished_at) filter (where r.state = 'succeeded'), '-infinity'),
        false
    ) as is_uncertain
from app.runs as r
where r.tenant_id = %(tenant_id)s and r.kind = 'build';

-- name: is_built
-- Whether dbt has built the tables that events and the customers of profiles come from. Before the
-- first build, the service may not look into their schema.
select count(*) = 5 as is_built
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
    n.nspname = 'marts'
    and c.relname in (
        'customer_facts',
        'rfm_builds',
        'rfm_segment_transitions',
        'sample_orders',
        'sample_stats'
    )
    and has_schema_privilege(n.oid, 'usage')
    and has_table_privilege(c.oid, 'select');

-- name: find_built
-- As-of times of the tenant's scores, of its newest changes of segments and of its samples, null
-- before the first build.
select
    (
        select max(b.as_of)
        from marts.rfm_builds as b
        where b.tenant_id = %(tenant_id)s
    ) as built_as_of,
    (
        select max(t.as_of)
        from marts.rfm_segment_transitions as t
        where t.tenant_id = %(tenant_id)s
    ) as rfm_as_of,
    (
        select max(c.calculated_at)
        from marts.sample_stats as c
        where c.tenant_id = %(tenant_id)s
    ) as samples_as_of;

-- name: insert_build_messages
-- Store messages about successful builds that ended in a span of time, for all endpoints that want
-- them or for one.
insert into app.webhook_deliveries (
    tenant_id, endpoint_id, topic, occurred_at, run_id, is_replay
)
select
    e.tenant_id,
    e.endpoint_id,
    'build.completed',
    r.finished_at,
    r.run_id,
    %(is_replay)s
from app.runs as r
inner join app.webhook_endpoints as e
    on e.tenant_id = %(tenant_id)s and 'build.completed' = any(e.topics)
where
    r.tenant_id = %(tenant_id)s
    and r.kind = 'build'
    and r.state = 'succeeded'
    and r.finished_at > coalesce(%(after)s::timestamptz, '-infinity')
    and r.finished_at <= %(until)s
    and e.is_enabled
    and (%(endpoint_id)s::uuid is null or e.endpoint_id = %(endpoint_id)s)
order by r.finished_at
returning endpoint_id;

-- name: insert_rfm_messages
-- Store messages about changes of RFM segments as of a span of time, for all endpoints that want
-- them or for one. Of one as-of time, customers leave before they enter. The first as-of time of
-- all, at which every customer enters, is left out.
insert into app.webhook_deliveries (
    tenant_id, endpoint_id, topic, occurred_at, source, batch, batches, is_replay
)
with changes as (
    select
        t.as_of,
        t.from_segment,
        t.to_segment,
        count(*) as customers
    from marts.rfm_segment_transitions as t
    where
        t.tenant_id = %(tenant_id)s
        and t.as_of > %(after)s
        and t.as_of <= %(until)s
        and t.as_of > (
            select min(f.as_of)
            from marts.rfm_segment_transitions as f
            where f.tenant_id = %(tenant_id)s
        )
    group by t.as_of, t.from_segment, t.to_segment
),

moves as (
    select
        c.as_of,
        v.topic,
        v.rank,
        'rfm:' || v.segment as segment_id,
        c.customers
    from changes as c
    cross join lateral (
        values
        ('segment.customer_left', 1, c.from_segment),
        ('segment.customer_entered', 2, c.to_segment)
    ) as v (topic, rank, segment)
    where v.segment is not null
),

messages as (
    select
        e.tenant_id,
        e.endpoint_id,
        m.as_of,
        m.topic,
        m.rank,
        ceil(sum(m.customers) / %(batch_size)s::numeric)::int as batches
    from moves as m
    inner join app.webhook_endpoints as e
        on e.tenant_id = %(tenant_id)s and m.topic = any(e.topics)
    where
        e.is_enabled
        and (%(endpoint_id)s::uuid is null or e.endpoint_id = %(endpoint_id)s)
        and (e.segment_ids is null or m.segment_id = any(e.segment_ids))
    group by e.tenant_id, e.endpoint_id, m.as_of, m.topic, m.rank
)

select
    m.tenant_id,
    m.endpoint_id,
    m.topic,
    m.as_of,
    'rfm',
    b.batch,
    m.batches,
    %(is_replay)s
from messages as m
cross join lateral generate_series(1, m.batches) as b (batch)
order by m.as_of, m.rank, b.batch
returning endpoint_id;

-- name: find_snapshot
-- What this statement sees, as the end of a range of changes. The start is null if nothing was
-- processed, or if it is of another server, whose transactions have other numbers, as after a
-- restore.
select
    x.snapshot::text as until_snapshot,
    case
        when
            pg_snapshot_xmax(%(shopify_snapshot)s::text::pg_snapshot)
            <= pg_snapshot_xmax(x.snapshot)
            then %(shopify_snapshot)s
    end as after_snapshot
from (select pg_current_snapshot() as snapshot) as x;

-- name: mark_foreign_changes
-- Give changes of Shopify segments and of pulled lists that another server's transactions stored,
-- as before a restore, the first transaction number that there is. With their own, they would seem
-- to be new as soon as this server comes to it.
with list_changes as (
    update app.klaviyo_list_changes
    set landed_xid = '3'
    where
        tenant_id = %(tenant_id)s
        and landed_xid >= pg_snapshot_xmax(%(until_snapshot)s::text::pg_snapshot)
)

update shopify.segment_changes
set landed_xid = '3'
where
    tenant_id = %(tenant_id)s
    and landed_xid >= pg_snapshot_xmax(%(until_snapshot)s::text::pg_snapshot);

-- name: find_snapshots_before
-- A snapshot without the changes of Shopify segments that were found after an instant, and one
-- without those of pulled lists; null if there are none. It may be without some that were found
-- before, but stored later, or by another server. With one snapshot for both, a source would repeat
-- its changes of before the instant that were stored after the other's first.
select
    (
        select min(c.landed_xid)::text || ':' || min(c.landed_xid)::text || ':'
        from shopify.segment_changes as c
        where c.tenant_id = %(tenant_id)s and c.changed_at > %(since)s
    ) as shopify,
    (
        select min(h.landed_xid)::text || ':' || min(h.landed_xid)::text || ':'
        from app.klaviyo_list_changes as h
        where h.tenant_id = %(tenant_id)s and h.changed_at > %(since)s
    ) as klaviyo;

-- name: insert_member_messages
-- Store messages about changes of Shopify segments, or of pulled lists, between two snapshots, for
-- all endpoints that want them or for one. The first change of every customer comes before the
-- second of any, and so on, so that each customer's changes are in their order. A profile's changes
-- are counted by list: Quintile dates them by its own readings, so there is no order between lists,
-- and the changes of a list that is synced no longer are deleted, which must not move others.
insert into app.webhook_deliveries (
    tenant_id, endpoint_id, topic, occurred_at, source, after_snapshot, until_snapshot, round,
    batch, batches, is_replay
)
with changes as (
    select
        'shopify:' || c.segment_id as segment_id,
        c.changed_at,
        c.has_entered,
        row_number() over (
            partition by c.customer_id
            order by c.changed_at, c.has_entered, c.segment_id
        ) as round
    from shopify.segment_changes as c
    where
        %(source)s = 'shopify'
        and c.tenant_id = %(tenant_id)s
        and c.landed_xid >= pg_snapshot_xmin(%(after_snapshot)s::text::pg_snapshot)
        and not pg_visible_in_snapshot(c.landed_xid, %(after_snapshot)s::text::pg_snapshot)
        and pg_visible_in_snapshot(c.landed_xid, %(until_snapshot)s::text::pg_snapshot)

    union all

    select
        'klaviyo:' || h.list_id as segment_id,
        h.changed_at,
        h.has_entered,
        row_number() over (
            partition by h.list_id, h.profile_id
            order by h.changed_at
        ) as round
    from app.klaviyo_list_changes as h
    where
        %(source)s = 'klaviyo'
        and h.tenant_id = %(tenant_id)s
        and h.landed_xid >= pg_snapshot_xmin(%(after_snapshot)s::text::pg_snapshot)
        and not pg_visible_in_snapshot(h.landed_xid, %(after_snapshot)s::text::pg_snapshot)
        and pg_visible_in_snapshot(h.landed_xid, %(until_snapshot)s::text::pg_snapshot)
),

moves as (
    select
        c.round,
        case when c.has_entered then 'segment.customer_entered' else 'segment.customer_left' end
            as topic,
        c.segment_id,
        max(c.changed_at) as changed_at,
        count(*) as customers
    from changes as c
    group by c.round, c.has_entered, c.segment_id
),

messages as (
    select
        e.tenant_id,
        e.endpoint_id,
        m.round,
        m.topic,
        max(m.changed_at) as changed_at,
        ceil(sum(m.customers) / %(batch_size)s::numeric)::int as batches
    from moves as m
    inner join app.webhook_endpoints as e
        on e.tenant_id = %(tenant_id)s and m.topic = any(e.topics)
    where
        e.is_enabled
        and (%(endpoint_id)s::uuid is null or e.endpoint_id = %(endpoint_id)s)
        and (e.segment_ids is null or m.segment_id = any(e.segment_ids))
    group by e.tenant_id, e.endpoint_id, m.round, m.topic
)

select
    m.tenant_id,
    m.endpoint_id,
    m.topic,
    m.changed_at,
    %(source)s,
    %(after_snapshot)s::text::pg_snapshot,
    %(until_snapshot)s::text::pg_snapshot,
    m.round,
    b.batch,
    m.batches,
    %(is_replay)s
from messages as m
cross join lateral generate_series(1, m.batches) as b (batch)
order by m.round asc, m.topic desc, b.batch asc
returning endpoint_id;

-- name: record_found_samples
-- Record samples that are new, or were there before anything was announced.
insert into app.webhook_samples (tenant_id, order_id, found_at, fulfilled_at)
select
    s.tenant_id,
    s.order_id,
    case when %(is_baseline)s then '-infinity' else now() end,
    case
        when s.status <> 'fulfilled' then null
        when %(is_baseline)s then '-infinity'
        else now()
    end
from marts.sample_orders as s
where s.tenant_id = %(tenant_id)s
on conflict (tenant_id, order_id) do nothing;

-- name: record_fulfilled_samples
-- Record which of the known samples have been fulfilled.
update app.webhook_samples as w
set fulfilled_at = case when %(is_baseline)s then '-infinity' else now() end
from marts.sample_orders as s
where
    w.tenant_id = %(tenant_id)s
    and w.fulfilled_at is null
    and s.tenant_id = %(tenant_id)s
    and s.order_id = w.order_id
    and s.status = 'fulfilled';

-- name: insert_sample_messages
-- Store messages about samples that were recorded after an instant, or in this transaction if there
-- is none, for all endpoints that want them or for one.
insert into app.webhook_deliveries (
    tenant_id, endpoint_id, topic, occurred_at, batch, batches, is_replay
)
with recorded as (
    select
        'sample.found' as topic,
        1 as rank,
        w.found_at as at,
        count(*) as samples
    from app.webhook_samples as w
    where
        w.tenant_id = %(tenant_id)s
        and case
            when %(after)s::timestamptz is null then w.found_at = now()
            else w.found_at > %(after)s
        end
    group by w.found_at

    union all

    select
        'sample.fulfilled' as topic,
        2 as rank,
        w.fulfilled_at as at,
        count(*) as samples
    from app.webhook_samples as w
    where
        w.tenant_id = %(tenant_id)s
        and case
            when %(after)s::timestamptz is null then w.fulfilled_at = now()
            else w.fulfilled_at > %(after)s
        end
    group by w.fulfilled_at
),

topics as (
    select
        r.topic,
        r.rank,
        r.at,
        ceil(r.samples / %(batch_size)s::numeric)::int as batches
    from recorded as r
)

select
    e.tenant_id,
    e.endpoint_id,
    t.topic,
    t.at,
    b.batch,
    t.batches,
    %(is_replay)s
from topics as t
inner join app.webhook_endpoints as e
    on e.tenant_id = %(tenant_id)s and t.topic = any(e.topics)
cross join lateral generate_series(1, t.batches) as b (batch)
where
    e.is_enabled
    and (%(endpoint_id)s::uuid is null or e.endpoint_id = %(endpoint_id)s)
order by t.at, t.rank, b.batch
returning endpoint_id;

-- name: insert_sync_messages
-- Store messages about a Klaviyo sync: for each endpoint, one for each configuration that began to
-- fail or works again. There is none for a configuration that a person paused.
with outcomes as (
    select
        r.config_id,
        r.state <> 'succeeded' as is_failing
    from app.klaviyo_sync_runs as r
    inner join app.klaviyo_sync_configs as c
        on c.tenant_id = %(tenant_id)s and r.config_id = c.config_id
    where
        r.tenant_id = %(tenant_id)s
        and r.run_id = %(run_id)s
        and not r.is_dry_run
        and r.state in ('failed', 'stopped', 'paused', 'succeeded')
        and not (r.state = 'paused' and c.paused_by is not distinct from 'person')
),

changed as (
    insert into app.webhook_sync_states as s (tenant_id, endpoint_id, config_id, is_failing)
    select
        e.tenant_id,
        e.endpoint_id,
        o.config_id,
        o.is_failing
    from app.webhook_endpoints as e
    cross join outcomes as o
    left join app.webhook_sync_states as known
        on
            known.tenant_id = %(tenant_id)s
            and e.endpoint_id = known.endpoint_id
            and o.config_id = known.config_id
    where
        e.tenant_id = %(tenant_id)s
        and e.is_enabled
        and o.is_failing <> coalesce(known.is_failing, false)
    on conflict (tenant_id, endpoint_id, config_id) do update
    set is_failing = excluded.is_failing
    where s.is_failing <> excluded.is_failing
    returning endpoint_id, config_id, is_failing
),

messages as (
    select
        c.endpoint_id,
        c.config_id,
        case when c.is_failing then 'klaviyo_sync.failed' else 'klaviyo_sync.recovered' end as topic
    from changed as c
)

insert into app.webhook_deliveries (tenant_id, endpoint_id, topic, run_id, config_id)
select
    e.tenant_id,
    e.endpoint_id,
    m.topic,
    %(run_id)s,
    m.config_id
from messages as m
inner join app.webhook_endpoints as e
    on e.tenant_id = %(tenant_id)s and m.endpoint_id = e.endpoint_id
where m.topic = any(e.topics)
returning endpoint_id;

-- name: count_replayed
-- How many messages of a replay wait.
select count(*) as messages
from app.webhook_deliveries as d
where
    d.tenant_id = %(tenant_id)s
    and d.endpoint_id = %(endpoint_id)s
    and d.state = 'pending'
    and d.is_replay;

-- name: find_delivery_job
-- A job that will send what this transaction stores for an endpoint, at this priority or earlier.
select j.id
from jobs.procrastinate_jobs as j
where
    j.args ->> 'tenant_id' = %(tenant_id)s
    and j.args ->> 'endpoint_id' = %(endpoint_id)s
    and j.task_name = %(task)s
    and j.status = 'todo'
    and j.priority >= %(priority)s
    and (j.scheduled_at is null or j.scheduled_at <= now());
