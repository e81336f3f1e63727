-- A notification, with what it says of the run as the run's row has it now.
select
    n.notification_id,
    n.topic,
    n.config_id,
    n.run_id,
    n.state,
    n.attempts,
    n.error,
    n.created_at,
    n.finished_at,
    t.name as tenant,
    r.segment_key,
    r.list_id,
    r.list_name,
    r.direction,
    r.state as run_state,
    r.stopped_for,
    r.error as run_error,
    r.advice,
    r.counts,
    r.finished_at as run_finished_at
from app.notifications as n
inner join app.tenants as t on n.tenant_id = t.tenant_id
left join app.klaviyo_sync_runs as r
    on n.tenant_id = r.tenant_id and n.run_id = r.run_id and n.config_id = r.config_id
where n.tenant_id = %(tenant_id)s and n.notification_id = %(notification_id)s
