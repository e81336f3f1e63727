-- name: find_token
-- A valid token by its digest, and whether its use was recorded today.
select coalesce(last_used_on = current_date, false) as is_recorded_today
from app.api_tokens
where tenant_id = %(tenant_id)s and token_hash = %(token_hash)s and revoked_at is null;

-- name: insert_token
-- Store the digest of a new API token.
insert into app.api_tokens (tenant_id, token_hash, label, last_four)
values (%(tenant_id)s, %(token_hash)s, %(label)s, %(last_four)s);

-- name: record_token_use
-- Record the day a token was last used: one write per day, not per request.
update app.api_tokens
set last_used_on = current_date
where tenant_id = %(tenant_id)s and token_hash = %(token_hash)s;

-- name: insert_sign_in_code
-- Store the digest of a new sign-in code.
insert into app.sign_in_codes (tenant_id, code_hash, expires_at)
values (%(tenant_id)s, %(code_hash)s, now() + %(lifetime)s);

-- name: use_sign_in_code
-- Mark a sign-in code as used; of two concurrent requests only the first gets the row.
update app.sign_in_codes
set used_at = now()
where
    tenant_id = %(tenant_id)s
    and code_hash = %(code_hash)s
    and used_at is null
    and expires_at > now()
returning tenant_id;
