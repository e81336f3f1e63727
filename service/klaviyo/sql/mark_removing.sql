-- A batch is about to be taken off the list. Should we die now, nobody knows whether it was: so its
-- profiles count as not read, and in no configuration of the list as what a person took off.
with configs as (
    select c.config_id
    from app.klaviyo_sync_configs as c
    inner join app.klaviyo_sync_configs as asked
        on asked.tenant_id = %(tenant_id)s and c.list_id = asked.list_id
    where c.tenant_id = %(tenant_id)s and asked.config_id = %(config_id)s
),

profiles as (
    delete from app.klaviyo_list_profiles as p
    using app.klaviyo_sync_configs as asked
    where
        p.tenant_id = %(tenant_id)s
        and asked.tenant_id = %(tenant_id)s
        and asked.config_id = %(config_id)s
        and p.list_id = asked.list_id
        and p.profile_id = any(%(profile_ids)s)
    returning 1
)

update app.klaviyo_ledger as k
set
    state = 'pending',
    error_code = null,
    error_detail = null,
    refused_hash = null,
    changed_at = now()
from configs as c
where
    k.tenant_id = %(tenant_id)s
    and k.config_id = c.config_id
    and k.email = any(%(emails)s)
    and k.state in ('pending', 'synced')
