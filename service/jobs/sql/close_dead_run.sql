-- Close a run that list_dead_runs has found, unless its process has been heard of meanwhile or a
-- job has been queued for it.
update app.runs as r
set
    state = 'failed',
    error = 'The process that did this run ended without finishing it.',
    advice = 'Start it again; it takes up where it was.',
    finished_at = now(),
    next_attempt_at = null
where
    r.tenant_id = %(tenant_id)s
    and r.run_id = %(run_id)s
    and r.state in ('queued', 'running')
    and coalesce(r.heartbeat_at, r.created_at) < now() - make_interval(secs => %(stale_after)s)
    and not exists (
        select from jobs.procrastinate_jobs as j
        where
            j.args ->> 'tenant_id' = r.tenant_id::text
            and j.args ->> 'run_id' = r.run_id::text
            and j.status in ('todo', 'doing')
    )
returning
    r.kind,
    extract(epoch from r.finished_at - coalesce(r.started_at, r.created_at))::float8 as seconds
