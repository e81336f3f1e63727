-- What another address than this one was told is no news to this one; null is no address at all.
delete from app.notifications
where
    tenant_id = %(tenant_id)s
    and not exists (
        select from app.notification_hooks as h
        where h.tenant_id = %(tenant_id)s and h.url = %(url)s::text
    )
