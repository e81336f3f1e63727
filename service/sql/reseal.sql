-- The same secret, sealed with another key.
update app.connections
set sealed_secret = %(sealed_secret)s, key_id = %(key_id)s
where tenant_id = %(tenant_id)s and provider = %(provider)s
