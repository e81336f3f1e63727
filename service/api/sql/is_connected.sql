-- Whether the tenant has a stored connection to a provider, working or refused.
select count(*) > 0 as is_connected
from app.connections
where tenant_id = %(tenant_id)s and provider = %(provider)s and state <> 'disconnected'
