-- Forgets what was read of a list that no configuration reads or writes any more, and who is
-- suppressed once nothing is written to any list.
delete from app.klaviyo_lists as l
where
    l.tenant_id = %(tenant_id)s
    and l.list_id in (%(list_id)s, '-suppressed')
    and not exists (
        select from app.klaviyo_sync_configs as c
        where
            c.tenant_id = %(tenant_id)s
            and (c.list_id = l.list_id or (l.list_id = '-suppressed' and c.direction <> 'pull'))
    )
