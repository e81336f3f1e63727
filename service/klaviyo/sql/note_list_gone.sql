-- The list is not there any more.
update app.klaviyo_lists
set gone_at = coalesce(gone_at, now())
where tenant_id = %(tenant_id)s and list_id = %(list_id)s
