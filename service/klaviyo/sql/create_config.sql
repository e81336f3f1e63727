-- Keeps a list in step with a segment; a pause ends when a person asks again.
insert into app.klaviyo_sync_configs as c (tenant_id, segment_key, list_id, list_name, direction)
values (%(tenant_id)s, %(segment_key)s, %(list_id)s, %(list_name)s, %(direction)s)
on conflict (tenant_id, segment_key, list_id) do update set
    list_name = excluded.list_name,
    direction = excluded.direction,
    is_paused = false,
    paused_reason = null
where c.tenant_id = %(tenant_id)s
returning c.config_id
