-- Klaviyo has taken these off the list: no configuration of it holds them any more. One that has
-- not planned since they left its segment has yet to notice that; nothing of theirs is on its way.
with configs as (
    select c.config_id
    from app.klaviyo_sync_configs as c
    inner join app.klaviyo_sync_configs as asked
        on asked.tenant_id = %(tenant_id)s and c.list_id = asked.list_id
    where c.tenant_id = %(tenant_id)s and asked.config_id = %(config_id)s
),

forgotten as (
    delete from app.klaviyo_ledger as k
    using configs as c
    where
        k.tenant_id = %(tenant_id)s
        and k.config_id = c.config_id
        and k.email = any(%(emails)s)
        and k.state = 'pending'
        and not k.is_member
    returning 1
)

update app.klaviyo_ledger as k
set
    profile_id = null,
    changed_at = 'epoch'
from configs as c
where
    k.tenant_id = %(tenant_id)s
    and k.config_id = c.config_id
    and k.email = any(%(emails)s)
    and k.state = 'pending'
    and k.is_member
