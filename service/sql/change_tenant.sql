-- Change what is given.
update app.tenants
set
    currency = coalesce(%(currency)s, currency),
    time_zone = coalesce(%(time_zone)s, time_zone)
where tenant_id = %(tenant_id)s
