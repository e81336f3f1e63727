-- Addresses of ours that are on the list are synced, and their profile ids known.
update app.klaviyo_ledger as l
set
    state = 'synced',
    customer_id = p.customer_id,
    profile_id = p.profile_id,
    error_code = null,
    error_detail = null,
    changed_at = case l.state when 'synced' then l.changed_at else now() end
from pg_temp.klaviyo_plan as p
where
    l.tenant_id = %(tenant_id)s
    and l.config_id = %(config_id)s
    and l.email = p.email
    and p.action = 'confirm'
