-- So many of the removals that a person has agreed to are done; what is left of them may be done by
-- the next sync, should this one not come to its end.
update app.klaviyo_sync_configs
set confirmed_removals = greatest(confirmed_removals - %(removals)s, 0)
where
    tenant_id = %(tenant_id)s
    and config_id = %(config_id)s
    and confirmed_removals is not null
