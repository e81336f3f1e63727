-- name: list_webhook_deliveries
-- A page of messages to endpoints, newest first, with one extra row.
select
    d.delivery_id,
    d.endpoint_id,
    d.position,
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
where
    d.tenant_id = %(tenant_id)s
    and (%(endpoint_id)s::uuid is null or d.endpoint_id = %(endpoint_id)s)
    and (%(topic)s::text is null or d.topic = %(topic)s)
    and (%(state)s::text is null or d.state = %(state)s)
    and (
        %(after_created_at)s::timestamptz is null
        or (d.created_at, d.position) < (%(after_created_at)s, %(after_position)s)
    )
order by d.created_at desc, d.position desc
limit %(row_limit)s;

-- name: list_privacy_exports
-- A page of exports that have not expired, newest first, with one extra row.
select
    export_id,
    created_at,
    expires_at
from app.privacy_exports
where
    tenant_id = %(tenant_id)s
    and expires_at > now()
    and (
        %(after_created_at)s::timestamptz is null
        or (created_at, export_id) < (%(after_created_at)s, %(after_export_id)s)
    )
order by created_at desc, export_id desc
limit %(row_limit)s;

-- name: list_privacy_receipts
-- A page of receipts, newest first, with one extra row.
select
    receipt_id,
    kind,
    webhook_id,
    counts,
    requested_at,
    completed_at
from app.privacy_receipts
where
    tenant_id = %(tenant_id)s
    and (
        %(after_completed_at)s::timestamptz is null
        or (completed_at, receipt_id) < (%(after_completed_at)s, %(after_receipt_id)s)
    )
order by completed_at desc, receipt_id desc
limit %(row_limit)s;

-- name: list_runs
-- A page of runs, newest first, with one extra row.
select
    run_id,
    kind,
    trigger,
    state,
    phase,
    done,
    total,
    counts,
    attempts,
    error,
    advice,
    created_at,
    started_at,
    finished_at,
    next_attempt_at,
    coalesce(state = 'running' and heartbeat_at < now() - interval '1 minute', false) as is_silent
from app.runs
where
    tenant_id = %(tenant_id)s
    and (%(kind)s::text is null or kind = %(kind)s)
    and (%(state)s::text is null or state = %(state)s)
    and (%(trigger)s::text is null or trigger = %(trigger)s)
    and (
        %(after_created_at)s::timestamptz is null
        or (created_at, run_id) < (%(after_created_at)s, %(after_run_id)s)
    )
order by created_at desc, run_id desc
limit %(row_limit)s;

-- name: list_webhooks
-- A page of quarantined and held webhooks, newest first, with one extra row. Without the payload,
-- which may contain personal data.
select
    webhook_id,
    topic,
    state,
    attempts,
    reason,
    advice,
    received_at,
    triggered_at
from app.webhook_events
where
    tenant_id = %(tenant_id)s
    and state in ('set_aside', 'held')
    and (%(topic)s::text is null or topic = %(topic)s)
    and (
        %(after_received_at)s::timestamptz is null
        or (received_at, webhook_id) < (%(after_received_at)s, %(after_webhook_id)s)
    )
order by received_at desc, webhook_id desc
limit %(row_limit)s;
