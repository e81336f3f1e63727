-- Whether the tenant has a stored connection to a provider, working or refused.
select exists (
    select from app.connections
    where tenant_id = %(tenant_id)s and provider = %(provider)s
) as is_connected
