-- Requests with an Idempotency-Key: what was answered, so that a repeat changes nothing again. Keys
-- are kept for a day. Answers may hold secrets and personal data, so they are encrypted.

create table app.idempotent_requests (
    tenant_id uuid not null,
    credential text not null,
    request_key text not null,
    claim_id uuid not null,
    fingerprint bytea not null,
    claimed_at timestamptz not null default now(),
    is_applied boolean not null default false,
    status int,
    headers jsonb,
    key_id text,
    sealed_secret bytea,
    constraint idempotent_requests_pkey primary key (tenant_id, credential, request_key),
    constraint idempotent_requests_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint idempotent_requests_key_check check (
        length(request_key) between 1 and 255
    ),
    constraint idempotent_requests_fingerprint_check check (octet_length(fingerprint) = 32),
    constraint idempotent_requests_answer_check check (
        num_nonnulls(status, headers, key_id, sealed_secret) in (0, 4)
    )
);

create index idempotent_requests_claimed_at_idx
on app.idempotent_requests (tenant_id, claimed_at);

comment on table app.idempotent_requests is
'Requests with an Idempotency-Key of the last day, and their answers.';
comment on column app.idempotent_requests.credential is
'Whose key it is: the id of a token or session, or a platform''s actor.';
comment on column app.idempotent_requests.request_key is 'The Idempotency-Key.';
comment on column app.idempotent_requests.claim_id is
'The process that works on the request. Another one takes over after a while.';
comment on column app.idempotent_requests.fingerprint is
'HMAC-SHA-256 of method, URL and body: the same key with another one is refused.';
comment on column app.idempotent_requests.is_applied is
'Whether the request has changed something. It is then never carried out again.';
comment on column app.idempotent_requests.status is 'HTTP status of the answer; null without one.';
comment on column app.idempotent_requests.headers is 'Content-Type and Location of the answer.';
comment on column app.idempotent_requests.sealed_secret is 'Body of the answer, encrypted.';

call app.protect('app.idempotent_requests');

grant select, insert, update, delete on app.idempotent_requests to quintile_app;
grant select (tenant_id) on app.idempotent_requests to quintile_transform;
