-- name: record_verified
-- Klaviyo has accepted the key; records its account and scopes.
update app.connections
set
    account_id = %(account_id)s,
    account_name = %(account_name)s,
    scopes = %(scopes)s,
    state = 'active',
    state_reason = null,
    verified_at = now()
where tenant_id = %(tenant_id)s and provider = 'klaviyo' and state <> 'disconnected';

-- name: find_former_account
-- The account the tenant was connected to, if the new key belongs to another; else no row.
select
    c.account_name,
    exists(
        select 1 from app.klaviyo_sync_configs as s where s.tenant_id = %(tenant_id)s
    ) as is_in_use
from app.connections as c
where
    c.tenant_id = %(tenant_id)s
    and c.provider = 'klaviyo'
    and c.account_id <> %(account_id)s;
