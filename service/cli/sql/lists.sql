-- name: list_exports
-- Exports that have not expired.
select
    export_id,
    created_at,
    expires_at
from app.privacy_exports
where tenant_id = %(tenant_id)s and expires_at > now()
order by created_at;

-- name: list_receipts
-- Receipts of one tenant or of all, including erased ones. Runs as quintile_owner.
select
    r.tenant_id,
    t.name,
    r.kind,
    r.webhook_id,
    r.requested_at,
    r.completed_at,
    r.counts
from app.privacy_receipts as r
left join app.tenants as t on r.tenant_id = t.tenant_id
where %(tenant_id)s::uuid is null or r.tenant_id = %(tenant_id)s
order by r.completed_at, r.receipt_id;

-- name: list_quarantined
-- Quarantined and held webhooks with their payload, which is kept only if it could not be read.
select
    webhook_id,
    topic,
    state,
    attempts,
    reason,
    advice,
    received_at,
    payload
from app.webhook_events
where tenant_id = %(tenant_id)s and state in ('set_aside', 'held')
order by received_at, webhook_id;

-- name: list_runs
-- Runs of one tenant or of all, newest first. Runs as quintile_owner.
select
    t.name as tenant,
    r.run_id,
    r.kind,
    r.trigger,
    r.state,
    r.phase,
    r.done,
    r.total,
    r.counts,
    r.attempts,
    r.error,
    r.advice,
    r.created_at,
    r.started_at,
    r.finished_at,
    r.next_attempt_at,
    coalesce(r.state = 'running' and r.heartbeat_at < now() - interval '1 minute', false)
        as is_silent
from app.runs as r
inner join app.tenants as t on r.tenant_id = t.tenant_id
where
    (%(tenant_id)s::uuid is null or r.tenant_id = %(tenant_id)s)
    and (%(kind)s::text is null or r.kind = %(kind)s)
    and (%(state)s::text is null or r.state = %(state)s)
    and (%(trigger)s::text is null or r.trigger = %(trigger)s)
order by r.created_at desc, t.name asc, r.run_id asc
limit %(row_limit)s;

-- name: find_run
-- The tenant of a run. Runs as quintile_owner.
select
    t.tenant_id,
    t.name as tenant
from app.runs as r
inner join app.tenants as t on r.tenant_id = t.tenant_id
where r.run_id = %(run_id)s;

-- name: list_plans
-- The plans of a run, one for each synced list, in the order in which the lists were added.
select
    s.config_id,
    s.segment_key,
    s.list_id,
    s.list_name,
    s.direction,
    s.state,
    s.error,
    s.advice,
    s.plan
from app.klaviyo_sync_runs as s
inner join app.klaviyo_sync_configs as c
    on c.tenant_id = %(tenant_id)s and s.config_id = c.config_id
where s.tenant_id = %(tenant_id)s and s.run_id = %(run_id)s
order by c.created_at, c.config_id;
