-- name: start_run
-- Queues a run; no row when one of this kind is in one of the states given.
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
            and state = any(%(blocking_states)s)
    )
on conflict (tenant_id, kind, state) where state in ('queued', 'running') do nothing
returning
    run_id, kind, trigger, state, phase, done, total, counts, attempts, error, advice,
    created_at, started_at, finished_at, next_attempt_at;

-- name: begin_run
-- Starts a queued run, or one whose process died; no row when another process has it.
update app.runs
set
    state = 'running',
    attempts = attempts + 1,
    started_at = coalesce(started_at, now()),
    heartbeat_at = now(),
    error = null,
    advice = null,
    next_attempt_at = null
where
    tenant_id = %(tenant_id)s
    and run_id = %(run_id)s
    and (
        state = 'queued'
        or (
            state = 'running'
            and heartbeat_at < now() - make_interval(secs => %(stale_after)s)
        )
    )
    -- A tenant's runs of one kind never overlap.
    and not exists (
        select from app.runs as other
        where
            other.tenant_id = %(tenant_id)s
            and other.kind = runs.kind
            and other.state = 'running'
            and other.run_id <> %(run_id)s
    )
returning kind, attempts;

-- name: report_progress
-- Writes progress and a heartbeat; only the newest attempt may.
update app.runs
set
    phase = %(phase)s,
    done = %(done)s,
    total = %(total)s,
    counts = %(counts)s,
    heartbeat_at = now()
where
    tenant_id = %(tenant_id)s
    and run_id = %(run_id)s
    and state = 'running'
    and attempts = %(attempt)s;

-- name: finish_run
-- Ends a run; only the newest attempt may.
update app.runs
set
    state = %(state)s,
    done = %(done)s,
    counts = %(counts)s,
    error = %(error)s,
    advice = %(advice)s,
    heartbeat_at = now(),
    finished_at = now()
where
    tenant_id = %(tenant_id)s
    and run_id = %(run_id)s
    and state = 'running'
    and attempts = %(attempt)s;

-- name: postpone_run
-- Puts a run back into the queue, to be retried or done by another process. An attempt that was
-- handed back is not counted.
update app.runs
set
    state = 'queued',
    phase = null,
    done = 0,
    total = null,
    attempts = attempts - (not %(is_counted)s)::int,
    error = %(error)s,
    advice = %(advice)s,
    next_attempt_at = %(at)s,
    heartbeat_at = null
where
    tenant_id = %(tenant_id)s
    and run_id = %(run_id)s
    and state = 'running'
    and attempts = %(attempt)s;

-- name: get_run
-- One run, as the API and the CLI show it. It is silent when a minute has had no heartbeat.
select
    run_id,
    kind,
    trigger,
    state,
    phase,
    done,
    total,
    counts,
    attempts,
    error,
    advice,
    created_at,
    started_at,
    finished_at,
    next_attempt_at,
    coalesce(state = 'running' and heartbeat_at < now() - interval '1 minute', false) as is_silent
from app.runs
where tenant_id = %(tenant_id)s and run_id = %(run_id)s;

-- name: find_unfinished_run
-- The unfinished run of a kind; the queued one if there is also a running one.
select
    run_id,
    kind,
    trigger,
    state,
    phase,
    done,
    total,
    counts,
    attempts,
    error,
    advice,
    created_at,
    started_at,
    finished_at,
    next_attempt_at
from app.runs
where tenant_id = %(tenant_id)s and kind = %(kind)s and state in ('queued', 'running')
order by state
limit 1;

-- name: close_stale_run
-- Closes a dead run, so that the next one can start: running without a heartbeat, or queued for as
-- long without a job that would start it.
update app.runs as r
set
    state = 'failed',
    error = 'The process of this run ended without finishing it.',
    advice = 'Start it again; it resumes where it stopped.',
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
    );

-- name: prioritize_run
-- Lets a queued run start now; no row when it is not queued, or a job of this priority is already
-- waiting to start it, as after a second click.
update app.runs as r
set next_attempt_at = null
where
    r.tenant_id = %(tenant_id)s
    and r.run_id = %(run_id)s
    and r.state = 'queued'
    and not exists (
        select from jobs.procrastinate_jobs as j
        where
            j.args ->> 'tenant_id' = r.tenant_id::text
            and j.args ->> 'run_id' = r.run_id::text
            and j.status = 'todo'
            and j.priority >= %(priority)s
            and (j.scheduled_at is null or j.scheduled_at <= now())
    )
returning r.run_id;
