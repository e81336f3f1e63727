-- A session that was opened with a sign-in code, while it lasts.
select tenant_id
from app.sign_in_codes
where
    tenant_id = %(tenant_id)s
    and code_hash = %(code_hash)s
    and used_at > now() - %(lifetime)s::interval
