-- Answers to data requests that can still be fetched.
select
    export_id,
    created_at,
    expires_at
from app.privacy_exports
where tenant_id = %(tenant_id)s and expires_at > now()
order by created_at
