-- Another account has other lists; who was on them goes with them.
delete from app.klaviyo_lists
where tenant_id = %(tenant_id)s
