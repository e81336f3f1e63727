-- name: find_hook
-- A tenant's notification hook with its sealed secret.
select
    url,
    sealed_secret,
    key_id,
    last_four,
    created_at
from app.notification_hooks
where tenant_id = %(tenant_id)s;

-- name: set_hook
-- Set a tenant's notification URL and secret.
insert into app.notification_hooks as h (tenant_id, url, sealed_secret, key_id, last_four)
values (%(tenant_id)s, %(url)s, %(sealed_secret)s, %(key_id)s, %(last_four)s)
on conflict (tenant_id) do update set
    url = excluded.url,
    sealed_secret = excluded.sealed_secret,
    key_id = excluded.key_id,
    last_four = excluded.last_four,
    created_at = excluded.created_at
where h.tenant_id = %(tenant_id)s;

-- name: remove_hook
-- Delete a tenant's notification hook.
delete from app.notification_hooks
where tenant_id = %(tenant_id)s
returning url;

-- name: delete_other_address
-- Delete notifications unless the hook has this URL; null deletes them all. They decide what counts
-- as known, and a new URL has been notified of nothing yet.
delete from app.notifications
where
    tenant_id = %(tenant_id)s
    and not exists (
        select from app.notification_hooks as h
        where h.tenant_id = %(tenant_id)s and h.url = %(url)s::text
    );
