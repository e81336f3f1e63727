-- What was told lately, the newest first.
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
    r.list_name
from app.notifications as n
left join app.klaviyo_sync_runs as r
    on n.tenant_id = r.tenant_id and n.run_id = r.run_id and n.config_id = r.config_id
where n.tenant_id = %(tenant_id)s
order by n.created_at desc, n.notification_id asc
limit %(row_limit)s
