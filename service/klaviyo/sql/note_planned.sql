-- How many members there are to write to, and how far the two sides are apart before anything is
-- done about it.
update app.klaviyo_sync_configs
set
    local_members = %(local_members)s,
    drift = %(drift)s,
    remote_members = (
        select count(*)
        from app.klaviyo_list_profiles as p
        where p.tenant_id = %(tenant_id)s and p.list_id = klaviyo_sync_configs.list_id
    )
where tenant_id = %(tenant_id)s and config_id = %(config_id)s
