-- A Klaviyo sync, or the plan of one, that is going on right now.
select run_id
from app.runs
where
    tenant_id = %(tenant_id)s
    and kind in ('klaviyo_sync', 'klaviyo_plan')
    and state = 'running'
    and heartbeat_at >= now() - make_interval(secs => %(stale_after)s)
