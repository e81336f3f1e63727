-- End a run, well or not.
update app.runs
set
    state = %(state)s,
    done = %(done)s,
    counts = %(counts)s,
    error = %(error)s,
    advice = %(advice)s,
    heartbeat_at = now(),
    finished_at = now()
where tenant_id = %(tenant_id)s and run_id = %(run_id)s
returning
    kind,
    state,
    extract(epoch from finished_at - started_at)::float8 as seconds
