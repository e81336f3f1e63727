-- Klaviyo has taken these off the list: no configuration of it holds them any more.
delete from app.klaviyo_ledger as k
using app.klaviyo_sync_configs as c, app.klaviyo_sync_configs as asked
where
    k.tenant_id = %(tenant_id)s
    and c.tenant_id = %(tenant_id)s
    and asked.tenant_id = %(tenant_id)s
    and asked.config_id = %(config_id)s
    and c.list_id = asked.list_id
    and k.config_id = c.config_id
    and k.email = any(%(emails)s)
    and k.state = 'pending'
