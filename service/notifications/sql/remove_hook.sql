-- A tenant is told nothing any more.
delete from app.notification_hooks
where tenant_id = %(tenant_id)s
returning url
