-- Resume a tenant's schedule: what came due meanwhile counts as served.
update app.schedules
set paused_at = null, paused_by = null, served_at = now()
where tenant_id = %(tenant_id)s and name = %(name)s and paused_at is not null
