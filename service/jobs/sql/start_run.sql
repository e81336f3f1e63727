-- Queue a run; no row when one of this kind is in the way, in one of the states given.
insert into app.runs (tenant_id, kind, trigger)
select
    %(tenant_id)s,
    %(kind)s,
    %(trigger)s
where
    not exists (
        select from app.runs
        where
            tenant_id = %(tenant_id)s
            and kind = %(kind)s
            and state = any(%(in_the_way)s)
    )
on conflict (tenant_id, kind, state) where state in ('queued', 'running') do nothing
returning
    run_id, kind, trigger, state, phase, done, total, counts, attempts, error, advice,
    created_at, started_at, finished_at, next_attempt_at
