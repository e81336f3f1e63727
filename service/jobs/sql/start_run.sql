-- Queue a run; no row when one of this kind is unfinished.
insert into app.runs (tenant_id, kind, trigger)
values (%(tenant_id)s, %(kind)s, %(trigger)s)
on conflict (tenant_id, kind) where state in ('queued', 'running') do nothing
returning
    run_id, kind, trigger, state, phase, done, total, counts, error, advice,
    created_at, started_at, finished_at
