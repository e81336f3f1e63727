-- Close a run whose process died without a word, so that the next one can start: running and not
-- heard of for a while, or queued for a while with no job that would begin it.
update app.runs as r
set
    state = 'failed',
    error = 'The process that did this run ended without finishing it.',
    advice = 'Start it again; it takes up where it was.',
    finished_at = now()
where
    r.tenant_id = %(tenant_id)s
    and r.kind = %(kind)s
    and (
        (
            r.state = 'running'
            and r.heartbeat_at < now() - make_interval(secs => %(stale_after)s)
        )
        or (
            r.state = 'queued'
            and r.created_at < now() - make_interval(secs => %(stale_after)s)
            and not exists (
                select from jobs.procrastinate_jobs as j
                where
                    j.args ->> 'tenant_id' = r.tenant_id::text
                    and j.args ->> 'run_id' = r.run_id::text
                    and j.status in ('todo', 'doing')
            )
        )
    )
