-- The same secret, sealed with another key.
update app.notification_hooks
set sealed_secret = %(sealed_secret)s, key_id = %(key_id)s
where tenant_id = %(tenant_id)s
