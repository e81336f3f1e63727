-- A tenant counts in its shop's currency and lives in its shop's time zone.
update app.tenants
set currency = %(currency)s, time_zone = %(time_zone)s
where
    tenant_id = %(tenant_id)s
    and (currency, time_zone) is distinct from (%(currency)s, %(time_zone)s)
