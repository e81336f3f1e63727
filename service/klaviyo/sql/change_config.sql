-- Changes how a list is kept in step. Who pauses again what is paused changes nothing about it.
update app.klaviyo_sync_configs
set
    direction = %(direction)s,
    is_scheduled = %(is_scheduled)s,
    fires_flows_on_first_sync = %(fires_flows_on_first_sync)s,
    sends_events = %(sends_events)s,
    is_paused = %(is_paused)s,
    paused_by = case when %(is_paused)s then coalesce(paused_by, 'person') end,
    paused_at = case when %(is_paused)s then coalesce(paused_at, now()) end,
    paused_reason = case when %(is_paused)s then paused_reason end
where tenant_id = %(tenant_id)s and config_id = %(config_id)s
