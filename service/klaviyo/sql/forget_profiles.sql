-- Another account's profiles have been given nothing yet.
delete from app.klaviyo_profiles
where tenant_id = %(tenant_id)s
