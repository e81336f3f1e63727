-- What a run has yet to do, or to do about one configuration, in its order: lists that are segments
-- are read before they feed others.
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
    c.config_id
