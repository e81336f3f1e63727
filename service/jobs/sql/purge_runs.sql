-- Forgets runs that ended long ago. The newest good one of each kind stays: it says how fresh the
-- tenant's data are.
delete from app.runs as r
where
    r.tenant_id = %(tenant_id)s
    and r.finished_at < now() - make_interval(days => %(days)s)
    and (
        r.state = 'failed'
        or exists (
            select from app.runs as newer
            where
                newer.tenant_id = %(tenant_id)s
                and newer.kind = r.kind
                and newer.state = 'succeeded'
                and newer.finished_at > r.finished_at
        )
    )
