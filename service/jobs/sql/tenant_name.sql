-- Name of a tenant, as dbt's vars take it.
select name from app.tenants where tenant_id = %(tenant_id)s
