-- name: insert_test
-- Store a test message to an endpoint.
insert into app.webhook_deliveries (tenant_id, endpoint_id, topic)
values (%(tenant_id)s, %(endpoint_id)s, %(topic)s)
returning delivery_id;

-- name: reopen_delivery
-- Let a delivery begin again, or one that waits go now.
update app.webhook_deliveries
set
    state = 'pending',
    attempts = case when state = 'pending' then attempts else 0 end,
    next_attempt_at = now(),
    finished_at = null
where tenant_id = %(tenant_id)s and delivery_id = %(delivery_id)s;

-- name: find_delivery
-- One row of the log of deliveries.
select
    d.delivery_id,
    d.endpoint_id,
    d.topic,
    d.occurred_at,
    d.is_replay,
    d.state,
    d.attempts,
    d.next_attempt_at,
    d.response_status,
    d.error,
    d.created_at,
    d.finished_at
from app.webhook_deliveries as d
where d.tenant_id = %(tenant_id)s and d.delivery_id = %(delivery_id)s;

-- name: find_next_delivery
-- The next message to send to an endpoint: tests first, then by age. Messages about segments wait
-- for those before them, and all but tests while the endpoint is disabled or does not answer.
with head as (
    select min(d.position) as position
    from app.webhook_deliveries as d
    where
        d.tenant_id = %(tenant_id)s
        and d.endpoint_id = %(endpoint_id)s
        and d.state = 'pending'
        and d.topic like 'segment.%%'
)

select
    d.tenant_id,
    d.delivery_id,
    d.endpoint_id,
    d.topic,
    d.occurred_at,
    d.source,
    d.after_snapshot::text as after_snapshot,
    d.until_snapshot::text as until_snapshot,
    d.round,
    d.batch,
    d.batches,
    d.run_id,
    d.config_id,
    d.is_replay,
    d.attempts,
    e.segment_ids,
    t.name as tenant
from app.webhook_deliveries as d
inner join app.webhook_endpoints as e
    on e.tenant_id = %(tenant_id)s and d.endpoint_id = e.endpoint_id
inner join app.tenants as t on t.tenant_id = %(tenant_id)s
cross join head
where
    d.tenant_id = %(tenant_id)s
    and d.endpoint_id = %(endpoint_id)s
    and d.state = 'pending'
    and d.next_attempt_at <= now()
    and (d.topic = 'test' or (e.is_enabled and coalesce(e.retry_at <= now(), true)))
    and (d.topic not like 'segment.%%' or d.position = head.position)
order by d.topic = 'test' desc, d.position
limit 1;

-- name: list_due_endpoints
-- Endpoints of all tenants for which find_next_delivery has a message, and no job waits or runs.
-- Read as quintile_transform.
with pending as (
    select
        d.tenant_id,
        d.endpoint_id,
        d.topic,
        d.next_attempt_at,
        row_number() over (
            partition by d.tenant_id, d.endpoint_id, d.topic like 'segment.%%'
            order by d.position
        ) as place
    from app.webhook_deliveries as d
    where d.state = 'pending'
)

select distinct
    d.tenant_id,
    d.endpoint_id
from pending as d
inner join app.webhook_endpoints as e
    on d.tenant_id = e.tenant_id and d.endpoint_id = e.endpoint_id
where
    d.next_attempt_at <= now()
    and (d.topic = 'test' or (e.is_enabled and coalesce(e.retry_at <= now(), true)))
    and (d.topic not like 'segment.%%' or d.place = 1)
    and not exists (
        select from jobs.procrastinate_jobs as j
        where
            j.task_name = 'quintile.deliver_webhooks'
            and j.status in ('todo', 'doing')
            and j.args ->> 'tenant_id' = d.tenant_id::text
            and j.args ->> 'endpoint_id' = d.endpoint_id::text
    )
order by d.tenant_id, d.endpoint_id;

-- name: list_tenants_with_builds
-- Tenants with an enabled endpoint whose builds have changed something that was not processed, and
-- no job that does so. It waits for a build that runs, and after one that failed for the next.
-- Read as quintile_transform.
with builds as (
    select
        r.tenant_id,
        max(r.finished_at) filter (where r.state = 'succeeded') as finished_at,
        bool_or(r.state = 'running') as is_running,
        max(r.finished_at) filter (where r.state = 'failed') as failed_at
    from app.runs as r
    where r.kind = 'build'
    group by r.tenant_id
),

endpoints as (
    select distinct e.tenant_id
    from app.webhook_endpoints as e
    where e.is_enabled
)

select e.tenant_id
from endpoints as e
left join app.webhook_progress as p on e.tenant_id = p.tenant_id
left join builds as r on e.tenant_id = r.tenant_id
left join marts.rfm_builds as b on e.tenant_id = b.tenant_id
left join lateral (
    select max(t.as_of) as as_of
    from marts.rfm_segment_transitions as t
    where t.tenant_id = e.tenant_id
) as changes on true
left join lateral (
    select max(c.calculated_at) as as_of
    from marts.sample_stats as c
    where c.tenant_id = e.tenant_id
) as samples on true
where
    not coalesce(r.is_running, false)
    and (
        r.failed_at is null
        or r.failed_at < coalesce(r.finished_at, '-infinity')
        or r.failed_at < b.as_of
    )
    and (
        r.finished_at is distinct from p.build_finished_at
        or b.as_of is distinct from p.built_as_of
        or changes.as_of is distinct from p.rfm_as_of
        or samples.as_of is distinct from p.samples_as_of
    )
    and not exists (
        select from jobs.procrastinate_jobs as j
        where
            j.task_name = 'quintile.collect_events'
            and j.status in ('todo', 'doing')
            and j.args ->> 'tenant_id' = e.tenant_id::text
    )
order by e.tenant_id;

-- name: list_tenants_with_member_changes
-- Tenants with an enabled endpoint whose Shopify segments or pulled lists have changes that were
-- not processed, and no job that does so. A tenant whose changes were never processed has none that
-- count, but its progress has to begin. Read as quintile_transform.
with endpoints as (
    select distinct e.tenant_id
    from app.webhook_endpoints as e
    where e.is_enabled
)

select e.tenant_id
from endpoints as e
left join app.webhook_progress as p on e.tenant_id = p.tenant_id
where
    (
        p.shopify_snapshot is null
        or pg_snapshot_xmax(p.shopify_snapshot) > pg_snapshot_xmax(pg_current_snapshot())
        or exists (
            select from shopify.segment_changes as c
            where
                c.tenant_id = e.tenant_id
                and c.landed_xid >= pg_snapshot_xmin(p.shopify_snapshot)
                and not pg_visible_in_snapshot(c.landed_xid, p.shopify_snapshot)
                and pg_visible_in_snapshot(c.landed_xid, pg_current_snapshot())
        )
        or exists (
            select from app.klaviyo_list_changes as h
            where
                h.tenant_id = e.tenant_id
                and h.landed_xid >= pg_snapshot_xmin(p.shopify_snapshot)
                and not pg_visible_in_snapshot(h.landed_xid, p.shopify_snapshot)
                and pg_visible_in_snapshot(h.landed_xid, pg_current_snapshot())
        )
    )
    and not exists (
        select from jobs.procrastinate_jobs as j
        where
            j.task_name = 'quintile.collect_events'
            and j.status in ('todo', 'doing')
            and j.args ->> 'tenant_id' = e.tenant_id::text
    )
order by e.tenant_id;

-- name: record_attempt
-- Record an attempt to deliver a message.
update app.webhook_deliveries
set
    state = %(state)s,
    attempts = attempts + 1,
    next_attempt_at = %(next_attempt_at)s,
    response_status = %(response_status)s,
    error = %(error)s,
    finished_at = case when %(state)s <> 'pending' then now() end
where
    tenant_id = %(tenant_id)s
    and delivery_id = %(delivery_id)s
    and state = 'pending';

-- name: record_success
-- Record that an endpoint works.
update app.webhook_endpoints
set failing_since = null, retry_at = null
where
    tenant_id = %(tenant_id)s
    and endpoint_id = %(endpoint_id)s
    and (failing_since is not null or retry_at is not null);

-- name: record_failure
-- Record that an endpoint failed, and leave it alone for a while if it did not answer.
update app.webhook_endpoints
set failing_since = coalesce(failing_since, now()), retry_at = %(retry_at)s
where tenant_id = %(tenant_id)s and endpoint_id = %(endpoint_id)s
returning failing_since;

-- name: purge_deliveries
-- Delete deliveries that ended long ago.
delete from app.webhook_deliveries
where
    tenant_id = %(tenant_id)s
    and finished_at < now() - make_interval(days => %(days)s);
