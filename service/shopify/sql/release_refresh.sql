-- Lets another process try to refresh the token.
update app.connections
set refresher = null, refresher_until = null
where tenant_id = %(tenant_id)s and provider = 'shopify' and refresher = %(lease)s
