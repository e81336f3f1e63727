-- Keeps a list in step with a segment.
insert into app.klaviyo_sync_configs (
    tenant_id,
    segment_key,
    list_id,
    list_name,
    direction,
    is_scheduled,
    fires_flows_on_first_sync,
    sends_events
)
values (
    %(tenant_id)s,
    %(segment_key)s,
    %(list_id)s,
    %(list_name)s,
    %(direction)s,
    %(is_scheduled)s,
    %(fires_flows_on_first_sync)s,
    %(sends_events)s
)
returning config_id
