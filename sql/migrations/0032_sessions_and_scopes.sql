-- Tokens with a scope and an end, sign-in links that name a person, and sessions that the server
-- can end.

alter table app.api_tokens
add column token_id uuid not null default gen_random_uuid(),
add column scope text not null default 'admin',
add column expires_at timestamptz,
add column created_by text,
add constraint api_tokens_id_key unique (tenant_id, token_id),
add constraint api_tokens_scope_check check (scope in ('read', 'write', 'admin'));

comment on column app.api_tokens.scope is
'What the token allows: read; write, which includes read; admin, which includes both.';
comment on column app.api_tokens.expires_at is 'When it stops working; null for never.';
comment on column app.api_tokens.created_by is 'Who created it; null for the command line.';

alter table app.sign_in_codes
add column person text,
add column scope text not null default 'admin',
add constraint sign_in_codes_scope_check check (scope in ('read', 'write', 'admin'));

comment on column app.sign_in_codes.person is 'Name of the person that the link is for.';

-- Sessions of the admin UI: only a SHA-256 digest of the cookie's secret is kept.
create table app.sessions (
    tenant_id uuid not null,
    session_hash bytea not null,
    session_id uuid not null default gen_random_uuid(),
    token_id uuid,
    person text,
    scope text not null,
    begun_at timestamptz not null default now(),
    expires_at timestamptz not null,
    constraint sessions_pkey primary key (tenant_id, session_hash),
    constraint sessions_id_key unique (tenant_id, session_id),
    constraint sessions_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint sessions_scope_check check (scope in ('read', 'write', 'admin')),
    constraint sessions_hash_check check (octet_length(session_hash) = 32)
);

comment on table app.sessions is 'Sessions of the admin UI that have not been ended.';
comment on column app.sessions.token_id is
'The token that began it, with whose end it ends; null for a sign-in link.';

call app.protect('app.sessions');

grant select, insert, delete on app.sessions to quintile_app;
grant insert (
    tenant_id, token_hash, token_id, label, last_four, scope, expires_at, created_by
) on app.api_tokens to quintile_app;
grant update (revoked_at) on app.api_tokens to quintile_app;
grant insert (tenant_id, code_hash, expires_at, person, scope) on app.sign_in_codes to quintile_app;
grant delete on app.sign_in_codes to quintile_app;
grant select (tenant_id) on app.sessions to quintile_transform;
