-- A working connection to the store that was made after the app had been removed.
select connected_at
from app.connections
where
    tenant_id = %(tenant_id)s
    and provider = 'shopify'
    and state <> 'disconnected'
    and connected_at > %(removed_by)s
