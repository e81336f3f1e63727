-- A token that may be used, by its digest.
select coalesce(last_used_on = current_date, false) as is_noted_today
from app.api_tokens
where tenant_id = %(tenant_id)s and token_hash = %(token_hash)s and revoked_at is null
