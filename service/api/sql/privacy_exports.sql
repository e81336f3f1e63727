-- A page of answers to data requests that can still be fetched, newest first, and one row more.
select
    export_id,
    created_at,
    expires_at
from app.privacy_exports
where
    tenant_id = %(tenant_id)s
    and expires_at > now()
    and (
        %(after_at)s::timestamptz is null
        or (created_at, export_id) < (%(after_at)s, %(after_id)s)
    )
order by created_at desc, export_id desc
limit %(row_limit)s
