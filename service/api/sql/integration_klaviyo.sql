-- A tenant's connection to Klaviyo, without the secret; no row while there has been none.
select
    state,
    state_reason,
    account_id,
    account_name,
    nullif(last_four, '') as key_last_four,
    scopes,
    connected_at,
    verified_at
from app.connections
where tenant_id = %(tenant_id)s and provider = 'klaviyo'
