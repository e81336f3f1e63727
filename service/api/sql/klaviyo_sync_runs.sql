-- A page of what runs did about a configuration, newest first, and one row more; or one of them.
select
    s.run_id,
    s.config_id,
    s.segment_key,
    s.list_id,
    s.list_name,
    s.direction,
    r.trigger,
    s.is_dry_run,
    s.state,
    s.stopped_for,
    s.plan,
    s.counts,
    s.errors,
    s.calls,
    s.error,
    s.advice,
    s.requested_at,
    s.started_at,
    s.finished_at,
    extract(epoch from s.finished_at - s.started_at) as duration_seconds
from app.klaviyo_sync_runs as s
inner join app.runs as r on r.tenant_id = %(tenant_id)s and s.run_id = r.run_id
where
    s.tenant_id = %(tenant_id)s
    and s.config_id = %(config_id)s
    and (%(run_id)s::uuid is null or s.run_id = %(run_id)s)
    and (%(with_dry_runs)s or not s.is_dry_run)
    and (
        %(after_at)s::timestamptz is null
        or (s.requested_at, s.run_id) < (%(after_at)s, %(after_id)s::uuid)
    )
order by s.requested_at desc, s.run_id desc
limit %(row_limit)s
