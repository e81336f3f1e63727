-- name: insert_sync_runs
-- Adds the configurations that a run syncs: the ones given, paused or not, else all that are not
-- paused, or those of them that are scheduled.
insert into app.klaviyo_sync_runs as s (
    tenant_id, run_id, config_id, segment_key, list_id, list_name, direction, is_dry_run
)
select
    %(tenant_id)s,
    %(run_id)s,
    c.config_id,
    c.segment_key,
    c.list_id,
    c.list_name,
    c.direction,
    %(is_dry_run)s
from app.klaviyo_sync_configs as c
where
    c.tenant_id = %(tenant_id)s
    and (
        c.config_id = any(%(config_ids)s::uuid[])
        or (
            %(config_ids)s::uuid[] is null
            and not c.is_paused
            and (c.is_scheduled or not %(only_scheduled)s)
        )
    )
on conflict (tenant_id, run_id, config_id) do nothing;

-- name: list_sync_runs
-- The configurations that a run has still to sync, or one of them, in order: lists that are
-- segments are read before the lists they feed.
select
    s.config_id,
    s.list_id,
    s.list_name,
    s.segment_key,
    s.direction,
    s.is_dry_run,
    c.is_paused,
    c.paused_reason,
    coalesce(c.paused_by = 'person', false) as is_paused_by_person,
    c.sends_events,
    c.confirmed_removals,
    c.first_synced_at is null and not c.fires_flows_on_first_sync as must_not_fire_flows
from app.klaviyo_sync_runs as s
inner join app.klaviyo_sync_configs as c
    on c.tenant_id = %(tenant_id)s and s.config_id = c.config_id
where
    s.tenant_id = %(tenant_id)s
    and s.run_id = %(run_id)s
    and s.state in ('queued', 'running')
    and (%(config_id)s::uuid is null or s.config_id = %(config_id)s)
order by
    case
        when c.direction = 'pull' then 1
        when starts_with(c.segment_key, 'klaviyo:') then 3
        else 2
    end,
    c.created_at,
    c.config_id;

-- name: begin_sync_run
-- The sync of a configuration begins.
update app.klaviyo_sync_runs
set state = 'running', started_at = now()
where tenant_id = %(tenant_id)s and run_id = %(run_id)s and config_id = %(config_id)s;

-- name: finish_sync_run
-- The outcome of a configuration in a run, with the number of each error. Errors of addresses are
-- in the ledger. Addresses on the list whose new properties were refused have not changed there:
-- the profile has the time.
with refused as (
    select
        k.error_code,
        count(*) as times
    from app.klaviyo_ledger as k
    inner join app.klaviyo_sync_runs as r
        on
            r.tenant_id = %(tenant_id)s
            and r.run_id = %(run_id)s
            and r.config_id = %(config_id)s
    where
        k.tenant_id = %(tenant_id)s
        and k.config_id = %(config_id)s
        and k.error_code is not null
        and (
            k.changed_at >= r.started_at
            or (
                k.state <> 'rejected'
                and exists (
                    select from app.klaviyo_profiles as p
                    where
                        p.tenant_id = %(tenant_id)s
                        and p.email = k.email
                        and p.sent_at >= r.started_at
                )
            )
        )
        and not r.is_dry_run
    group by k.error_code
)

update app.klaviyo_sync_runs
set
    state = %(state)s,
    stopped_for = %(stopped_for)s,
    plan = coalesce(%(plan)s, plan),
    counts = %(counts)s,
    errors = coalesce((select jsonb_object_agg(e.error_code, e.times) from refused as e), '{}')
    || %(errors)s,
    calls = %(calls)s,
    error = %(error)s,
    advice = %(advice)s,
    finished_at = now()
where tenant_id = %(tenant_id)s and run_id = %(run_id)s and config_id = %(config_id)s;

-- name: reopen_sync_runs
-- A retried run repeats the configurations that failed.
update app.klaviyo_sync_runs
set state = 'queued', error = null, advice = null, finished_at = null
where tenant_id = %(tenant_id)s and run_id = %(run_id)s and state = 'failed';

-- name: close_orphaned_sync_runs
-- Fails the configurations that finished runs have left unfinished: their process died.
update app.klaviyo_sync_runs as s
set
    state = 'failed',
    error = 'The process that did this sync ended without finishing it.',
    advice = 'Sync again: it continues where it stopped.',
    finished_at = now()
from app.runs as r
where
    s.tenant_id = %(tenant_id)s
    and s.state in ('queued', 'running')
    and r.tenant_id = %(tenant_id)s
    and s.run_id = r.run_id
    and r.state in ('succeeded', 'failed')
returning s.run_id;

-- name: find_sync_request
-- Whether a run has been given configurations, whether it is a dry run, whether the schedule
-- started it, and whether a command did, which gives none if it means all.
select
    r.kind = 'klaviyo_plan' as is_dry_run,
    r.trigger = 'schedule' as is_scheduled,
    r.trigger = 'cli' as is_for_all,
    count(s.config_id) > 0 as has_rows
from app.runs as r
left join app.klaviyo_sync_runs as s
    on s.tenant_id = %(tenant_id)s and r.run_id = s.run_id
where r.tenant_id = %(tenant_id)s and r.run_id = %(run_id)s
group by r.kind, r.trigger;

-- name: record_plan
-- The plan that is about to be carried out, for display.
update app.klaviyo_sync_runs
set plan = %(plan)s
where tenant_id = %(tenant_id)s and run_id = %(run_id)s and config_id = %(config_id)s;
