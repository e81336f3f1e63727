-- A list has been read just now.
update app.klaviyo_sync_configs as c
set
    last_synced_at = now(),
    first_synced_at = coalesce(c.first_synced_at, now()),
    local_members = r.addresses,
    remote_members = r.profiles,
    drift = 0
from (
    select
        count(distinct p.email) as addresses,
        count(*) as profiles
    from app.klaviyo_list_profiles as p
    where p.tenant_id = %(tenant_id)s and p.list_id = %(list_id)s
) as r
where c.tenant_id = %(tenant_id)s and c.config_id = %(config_id)s
