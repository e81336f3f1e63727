-- The seed tenants_by_schema of the tenants and their landed schemas.
copy (
    select
        tenant_id,
        name,
        'landed_' || name as source_schema,
        shop_domain,
        currency,
        time_zone
    from app.tenants
    order by name
) to stdout (format csv, header)
