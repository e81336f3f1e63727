-- The tenant's configurations, or one of them, with the last sync of each that was no dry run.
select
    c.config_id,
    c.segment_key,
    c.list_id,
    c.list_name,
    c.direction,
    c.is_scheduled,
    c.fires_flows_on_first_sync,
    c.sends_events,
    c.is_paused,
    c.paused_by,
    c.paused_reason,
    c.paused_at,
    c.confirmed_removals,
    c.local_members,
    c.remote_members,
    c.drift,
    c.created_at,
    c.first_synced_at,
    c.last_synced_at,
    r.run_id as last_run_id,
    r.state as last_state,
    r.stopped_for as last_stopped_for,
    r.plan as last_plan,
    r.counts as last_counts,
    r.errors as last_errors,
    r.error as last_error,
    r.advice as last_advice,
    r.finished_at as last_finished_at
from app.klaviyo_sync_configs as c
left join lateral (
    select s.*
    from app.klaviyo_sync_runs as s
    where
        s.tenant_id = c.tenant_id
        and s.config_id = c.config_id
        and not s.is_dry_run
    order by s.requested_at desc
    limit 1
) as r on true
where
    c.tenant_id = %(tenant_id)s
    and (%(config_id)s::uuid is null or c.config_id = %(config_id)s)
order by c.created_at, c.config_id
