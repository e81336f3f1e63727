-- Forgets what was read of a list that no configuration reads or writes any more.
delete from app.klaviyo_lists as l
where
    l.tenant_id = %(tenant_id)s
    and l.list_id = %(list_id)s
    and not exists (
        select from app.klaviyo_sync_configs as c
        where c.tenant_id = %(tenant_id)s and c.list_id = l.list_id
    )
