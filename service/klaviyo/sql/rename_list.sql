-- A list may have been renamed in Klaviyo since it was chosen.
update app.klaviyo_sync_configs
set list_name = %(list_name)s
where
    tenant_id = %(tenant_id)s
    and list_id = %(list_id)s
    and list_name <> %(list_name)s
