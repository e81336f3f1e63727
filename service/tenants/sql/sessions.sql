-- name: insert_session
-- Begin a session.
insert into app.sessions (tenant_id, session_hash, token_id, person, scope, expires_at)
values (
    %(tenant_id)s,
    %(session_hash)s,
    %(token_id)s,
    %(person)s,
    %(scope)s,
    now() + %(lifetime)s
);

-- name: find_session
-- A session that has not ended, with the token that began it, if one did.
select
    s.session_id,
    s.token_id,
    s.person,
    s.scope,
    t.label,
    t.last_four
from app.sessions as s
left join app.api_tokens as t on s.tenant_id = t.tenant_id and s.token_id = t.token_id
where
    s.tenant_id = %(tenant_id)s
    and s.session_hash = %(session_hash)s
    and s.expires_at > now()
    and (
        s.token_id is null
        or (t.revoked_at is null and coalesce(t.expires_at > now(), t.token_id is not null))
    );

-- name: list_sessions
-- Sessions that have not ended, newest first: all, or a page. Given an id, only that one.
select
    s.session_id,
    s.person,
    t.label as token_label,
    t.last_four as token_last_four,
    s.scope,
    s.begun_at,
    s.expires_at
from app.sessions as s
left join app.api_tokens as t on s.tenant_id = t.tenant_id and s.token_id = t.token_id
where
    s.tenant_id = %(tenant_id)s
    and s.expires_at > now()
    and (
        s.token_id is null
        or (t.revoked_at is null and coalesce(t.expires_at > now(), t.token_id is not null))
    )
    and (%(session_id)s::uuid is null or s.session_id = %(session_id)s)
    and (
        %(after_begun_at)s::timestamptz is null
        or s.begun_at < %(after_begun_at)s
        or (s.begun_at = %(after_begun_at)s and s.session_id > %(after_session_id)s)
    )
order by s.begun_at desc, s.session_id asc
limit %(row_limit)s;

-- name: delete_unused_codes
-- Delete sign-in links that have not been used: a person's, or all of the tenant's.
delete from app.sign_in_codes
where
    tenant_id = %(tenant_id)s
    and used_at is null
    and (%(person)s::text is null or person = %(person)s);

-- name: delete_sessions
-- End sessions: one by its id, those of a person, or all of the tenant's.
delete from app.sessions
where
    tenant_id = %(tenant_id)s
    and (%(session_id)s::uuid is null or session_id = %(session_id)s)
    and (%(person)s::text is null or person = %(person)s);

-- name: delete_session
-- End the session of a cookie.
delete from app.sessions
where tenant_id = %(tenant_id)s and session_hash = %(session_hash)s;

-- name: purge_sessions
-- Delete sessions that have expired, and sign-in codes that no longer work.
with codes as (
    delete from app.sign_in_codes
    where tenant_id = %(tenant_id)s and (expires_at < now() or used_at is not null)
)

delete from app.sessions
where tenant_id = %(tenant_id)s and expires_at < now();
