-- The store has removed the app. A connection that was made after that stays.
update app.connections
set uninstalled_at = %(triggered_at)s
where
    tenant_id = %(tenant_id)s
    and provider = 'shopify'
    and uninstalled_at is null
    and connected_at <= %(triggered_at)s
returning provider
