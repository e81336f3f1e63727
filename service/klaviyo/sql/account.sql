-- name: record_verified
-- Klaviyo has told whose key it is and what it may do.
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
-- The account the tenant was connected to, when the new key is another's; no row otherwise.
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

-- name: delete_profiles
-- Another account's profiles have been given nothing yet.
delete from app.klaviyo_profiles
where tenant_id = %(tenant_id)s;

-- name: delete_lists
-- Another account has other lists; who was on them goes with them.
delete from app.klaviyo_lists
where tenant_id = %(tenant_id)s;

-- name: resume_after_key
-- A key has been accepted: goes on with what was paused for the lack of one.
update app.klaviyo_sync_configs
set
    is_paused = false,
    paused_by = null,
    paused_at = null,
    paused_reason = null
where tenant_id = %(tenant_id)s and paused_by = 'key';

-- name: pause_for_key
-- Pauses all that a key is needed for until one is accepted.
update app.klaviyo_sync_configs
set
    is_paused = true,
    paused_by = 'key',
    paused_at = now(),
    paused_reason = %(reason)s
where tenant_id = %(tenant_id)s and not is_paused;
