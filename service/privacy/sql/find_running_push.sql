-- A Klaviyo sync that is going on right now.
select run_id
from app.runs
where
    tenant_id = %(tenant_id)s
    and kind = 'klaviyo_sync'
    and state = 'running'
    and heartbeat_at >= now() - make_interval(secs => %(stale_after)s)
