-- Makes a full reading of lists due: of all, or of those of some configurations.
update app.klaviyo_lists as l
set full_read_at = null
where
    l.tenant_id = %(tenant_id)s
    and (
        %(config_ids)s::uuid[] is null
        or exists (
            select from app.klaviyo_sync_configs as c
            where
                c.tenant_id = %(tenant_id)s
                and c.list_id = l.list_id
                and c.config_id = any(%(config_ids)s)
        )
    )
