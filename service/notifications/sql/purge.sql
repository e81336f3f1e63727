-- Deletes what was told long ago; of each configuration the newest says whether it is failing.
delete from app.notifications as n
where
    n.tenant_id = %(tenant_id)s
    and n.state <> 'pending'
    and n.finished_at < now() - make_interval(days => %(days)s)
    and (
        n.config_id is null
        or exists (
            select from app.notifications as newer
            where
                newer.tenant_id = %(tenant_id)s
                and newer.config_id = n.config_id
                and newer.created_at > n.created_at
        )
    )
