-- name: count_allowed_connections
-- How many connections the server allows those who are no superusers. `reserved_connections` is new
-- in PostgreSQL 16.
select
    current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true), '0')::int as allowed;

-- name: list_connections
-- Every tenant's connections, except disconnected ones. Read as quintile_owner.
select
    t.tenant_id,
    t.name,
    c.provider,
    c.account_name,
    c.sealed_secret,
    c.key_id,
    c.state,
    c.state_reason,
    c.next_probe_at,
    c.api_version_asked,
    c.api_version_served,
    c.scopes,
    c.verified_at is not null as is_verified,
    c.verified_at is not null and 'read_all_orders' <> all(c.scopes) as is_limited,
    extract(day from c.refresh_expires_at - now())::int as refresh_days_left
from app.tenants as t
inner join app.connections as c on t.tenant_id = c.tenant_id
where c.state <> 'disconnected'
order by t.name, c.provider;

-- name: count_keys
-- How many secrets of all tenants each key seals. Read as quintile_owner.
select
    s.key_id,
    count(*)::int as secrets
from (
    select key_id
    from app.connections
    where sealed_secret is not null
    union all
    select key_id
    from app.webhook_secrets
    union all
    select key_id
    from app.privacy_exports
    where expires_at > now()
    union all
    select key_id
    from app.idempotent_requests
    where sealed_secret is not null
) as s
group by s.key_id
order by s.key_id;

-- name: find_stuck_jobs
-- The state of the queue: due jobs and how long the oldest has waited, jobs whose worker is dead,
-- and jobs that failed within a day. Read as quintile_transform.
with events as (
    select
        e.job_id,
        max(e.at) filter (where e.type in ('deferred', 'deferred_for_retry')) as deferred_at,
        max(e.at) filter (where e.type = 'failed') as failed_at
    from jobs.procrastinate_events as e
    group by e.job_id
),

jobs as (
    select
        j.id,
        j.task_name,
        j.status,
        e.failed_at,
        extract(epoch from now() - coalesce(j.scheduled_at, e.deferred_at)) as waiting_seconds,
        coalesce(w.last_heartbeat < now() - make_interval(secs => %(stale_after)s), true)
            as is_orphaned
    from jobs.procrastinate_jobs as j
    left join events as e on j.id = e.job_id
    left join jobs.procrastinate_workers as w on j.worker_id = w.id
)

select
    count(*) filter (where status = 'todo' and waiting_seconds >= 0) as waiting,
    coalesce(max(waiting_seconds) filter (where status = 'todo'), 0)::float8 as oldest_seconds,
    count(*) filter (where status = 'doing' and is_orphaned) as orphaned,
    count(*) filter (where status = 'failed' and failed_at > now() - interval '1 day') as failed,
    (
        array_agg(task_name order by failed_at desc)
        filter (where status = 'failed' and failed_at > now() - interval '1 day')
    )[1] as last_failed
from jobs;

-- name: list_stuck_runs
-- Running runs without a heartbeat for a while. Read as quintile_owner.
select
    t.name,
    r.kind,
    r.run_id,
    floor(extract(epoch from now() - r.heartbeat_at) / 60)::int as minutes
from app.runs as r
inner join app.tenants as t on r.tenant_id = t.tenant_id
where r.state = 'running' and r.heartbeat_at < now() - make_interval(secs => %(stale_after)s)
order by t.name, r.kind;

-- name: list_connected_shops
-- Tenants with an active connection to their store. Read as quintile_owner.
select
    t.tenant_id,
    t.name,
    t.shop_domain as shop
from app.tenants as t
inner join app.connections as c on t.tenant_id = c.tenant_id
where c.provider = 'shopify' and c.state = 'active'
order by t.name;

-- name: count_quarantined
-- Quarantined and held webhooks by tenant and topic. Read as quintile_owner.
select
    t.name,
    e.topic,
    e.state = 'held' as is_held,
    count(*) as webhooks,
    bool_or(e.topic like '%%/redact' or e.topic like '%%/data_request') as is_privacy,
    (array_agg(e.reason order by e.finished_at desc, e.received_at desc))[1] as reason
from app.tenants as t
inner join app.webhook_events as e on t.tenant_id = e.tenant_id
where e.state in ('set_aside', 'held')
group by t.name, e.topic, e.state = 'held'
order by t.name, e.topic, is_held;

-- name: list_failing_endpoints
-- Endpoints of outgoing webhooks that fail, or were disabled for it. Read as quintile_owner.
select
    t.name,
    e.url,
    e.is_enabled,
    e.disabled_reason,
    floor(extract(epoch from now() - e.failing_since) / 3600)::int as hours
from app.tenants as t
inner join app.webhook_endpoints as e on t.tenant_id = e.tenant_id
where
    (e.is_enabled and e.failing_since < now() - interval '1 hour')
    or e.disabled_reason in ('gone', 'failing')
order by t.name, e.created_at;

-- name: list_withheld_fields
-- The fields that Shopify denies the app, by tenant. Read as quintile_owner.
select
    t.name,
    array_agg(f.field order by f.field) as fields
from app.tenants as t
inner join shopify.withheld_fields as f on t.tenant_id = f.tenant_id
group by t.name
order by t.name;

-- name: count_quarantined_records
-- Records of a shop that could not be read, by tenant and kind. Read as quintile_owner.
select
    t.name,
    j.entity,
    count(*) as records,
    (array_agg(j.source_id order by j.rejected_at desc, j.source_id asc))[1] as last_id,
    (array_agg(j.reason order by j.rejected_at desc, j.source_id asc))[1] as reason
from app.tenants as t
inner join shopify.rejected_rows as j on t.tenant_id = j.tenant_id
where j.entity <> 'csv_line'
group by t.name, j.entity
order by t.name, j.entity;

-- name: list_metafield_tenants
-- Tenants that have, or had, RFM in customer metafields. Read as quintile_owner.
select
    t.tenant_id,
    t.name
from app.tenants as t
inner join app.shopify_metafields as m on t.tenant_id = m.tenant_id
order by t.name;
