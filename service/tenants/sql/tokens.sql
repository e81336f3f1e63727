-- name: find_token
-- A token that may be used, by its digest.
select coalesce(last_used_on = current_date, false) as is_noted_today
from app.api_tokens
where tenant_id = %(tenant_id)s and token_hash = %(token_hash)s and revoked_at is null;

-- name: insert_token
-- Keep the digest of a new API token.
insert into app.api_tokens (tenant_id, token_hash, label, last_four)
values (%(tenant_id)s, %(token_hash)s, %(label)s, %(last_four)s);

-- name: record_token_use
-- Remember the day a token was last used: one write a day, not one a request.
update app.api_tokens
set last_used_on = current_date
where tenant_id = %(tenant_id)s and token_hash = %(token_hash)s;

-- name: insert_sign_in_code
-- Keep the digest of a new sign-in code.
insert into app.sign_in_codes (tenant_id, code_hash, expires_at)
values (%(tenant_id)s, %(code_hash)s, now() + %(lifetime)s);

-- name: use_sign_in_code
-- Spend a sign-in code: only the first of two racing requests gets the row.
update app.sign_in_codes
set used_at = now()
where
    tenant_id = %(tenant_id)s
    and code_hash = %(code_hash)s
    and used_at is null
    and expires_at > now()
returning tenant_id;
