-- Forgets, in all configurations of the list, that a person took an address off it.
with forgotten as (
    delete from app.klaviyo_ledger as k
    using app.klaviyo_sync_configs as c, app.klaviyo_sync_configs as asked
    where
        k.tenant_id = %(tenant_id)s
        and c.tenant_id = %(tenant_id)s
        and asked.tenant_id = %(tenant_id)s
        and asked.config_id = %(config_id)s
        and c.list_id = asked.list_id
        and k.config_id = c.config_id
        and k.email = %(email)s
        and k.state = 'removed'
    returning k.config_id
)

select config_id
from forgotten
order by config_id
limit 1
