-- name: find_token
-- A valid token by its digest, and whether its use was recorded today.
select
    token_id,
    label,
    last_four,
    scope,
    coalesce(last_used_on = current_date, false) as is_recorded_today
from app.api_tokens
where
    tenant_id = %(tenant_id)s
    and token_hash = %(token_hash)s
    and revoked_at is null
    and coalesce(expires_at > now(), true);

-- name: insert_token
-- Store the digest of a new API token.
insert into app.api_tokens (
    tenant_id, token_hash, token_id, label, last_four, scope, expires_at, created_by
)
values (
    %(tenant_id)s,
    %(token_hash)s,
    %(token_id)s,
    %(label)s,
    %(last_four)s,
    %(scope)s,
    now() + make_interval(days => %(days)s),
    %(created_by)s
);

-- name: record_token_use
-- Record the day a token was last used: one write per day, not per request.
update app.api_tokens
set last_used_on = current_date
where tenant_id = %(tenant_id)s and token_hash = %(token_hash)s;

-- name: list_tokens
-- The tenant's tokens, newest first, without their digests: all, or a page. Given an id, only that
-- one.
select
    token_id,
    label,
    last_four,
    scope,
    created_at,
    created_by,
    last_used_on,
    expires_at,
    revoked_at,
    case
        when revoked_at is not null then 'revoked'
        when expires_at <= now() then 'expired'
        else 'active'
    end as state
from app.api_tokens
where
    tenant_id = %(tenant_id)s
    and (%(token_id)s::uuid is null or token_id = %(token_id)s)
    and (
        %(after_created_at)s::timestamptz is null
        or created_at < %(after_created_at)s
        or (created_at = %(after_created_at)s and token_id > %(after_token_id)s)
    )
order by created_at desc, token_id asc
limit %(row_limit)s;

-- name: revoke_token
-- Revoke a token. Revoking it again keeps the time of the first.
update app.api_tokens
set revoked_at = coalesce(revoked_at, now())
where tenant_id = %(tenant_id)s and token_id = %(token_id)s
returning token_id;

-- name: delete_token_sessions
-- End the sessions that a token began.
delete from app.sessions
where tenant_id = %(tenant_id)s and token_id = %(token_id)s;

-- name: insert_sign_in_code
-- Store the digest of a new sign-in code.
insert into app.sign_in_codes (tenant_id, code_hash, expires_at, person, scope)
values (%(tenant_id)s, %(code_hash)s, now() + %(lifetime)s, %(person)s, %(scope)s);

-- name: use_sign_in_code
-- Mark a sign-in code as used; of two concurrent requests only the first gets the row.
update app.sign_in_codes
set used_at = now()
where
    tenant_id = %(tenant_id)s
    and code_hash = %(code_hash)s
    and used_at is null
    and expires_at > now()
returning person, scope;
