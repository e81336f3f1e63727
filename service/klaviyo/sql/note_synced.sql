-- The list has been brought in step just now. Profiles that were sent and have not been read back
-- are on it too. What a person had agreed to is done, or needless.
update app.klaviyo_sync_configs as c
set
    last_synced_at = now(),
    first_synced_at = coalesce(c.first_synced_at, now()),
    confirmed_removals = null,
    remote_members = (
        select count(*)
        from app.klaviyo_list_profiles as p
        where p.tenant_id = %(tenant_id)s and p.list_id = c.list_id
    ) + (
        select count(distinct k.email)
        from app.klaviyo_sync_configs as o
        inner join app.klaviyo_ledger as k
            on k.tenant_id = %(tenant_id)s and o.config_id = k.config_id
        left join app.klaviyo_list_profiles as p
            on p.tenant_id = %(tenant_id)s and p.list_id = c.list_id and k.email = p.email
        where
            o.tenant_id = %(tenant_id)s
            and o.list_id = c.list_id
            and k.state = 'synced'
            and p.profile_id is null
    ),
    drift = (
        select count(*)
        from app.klaviyo_ledger as k
        where
            k.tenant_id = %(tenant_id)s
            and k.config_id = c.config_id
            and k.state in ('pending', 'rejected')
    )
where c.tenant_id = %(tenant_id)s and c.config_id = %(config_id)s
