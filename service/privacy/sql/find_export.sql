-- The sealed answer to a data request, while it may be fetched.
select
    sealed_document,
    key_id
from app.privacy_exports
where tenant_id = %(tenant_id)s and export_id = %(export_id)s and expires_at > now()
