-- The tenant, and by its foreign keys all that is its. Run as quintile_transform.
delete from app.tenants
where tenant_id = %(tenant_id)s
