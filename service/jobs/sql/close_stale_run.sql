-- Close a run whose process died without a word, so that the next one can start.
update app.runs
set
    state = 'failed',
    error = 'The process that did this run ended without finishing it.',
    advice = 'Start it again; it takes up where it was.',
    finished_at = now()
where
    tenant_id = %(tenant_id)s
    and kind = %(kind)s
    and state = 'running'
    and heartbeat_at < now() - make_interval(secs => %(stale_after)s)
