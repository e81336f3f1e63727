-- The address a tenant is told at from now on, and its new secret.
insert into app.notification_hooks as h (tenant_id, url, sealed_secret, key_id, last_four)
values (%(tenant_id)s, %(url)s, %(sealed_secret)s, %(key_id)s, %(last_four)s)
on conflict (tenant_id) do update set
    url = excluded.url,
    sealed_secret = excluded.sealed_secret,
    key_id = excluded.key_id,
    last_four = excluded.last_four,
    created_at = excluded.created_at
where h.tenant_id = %(tenant_id)s
