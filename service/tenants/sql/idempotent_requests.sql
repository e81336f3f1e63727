-- name: claim_request
-- Claim a key for a request. No row if it is taken: by a request that was answered or has changed
-- something, by one that another process still works on, or by another request.
insert into app.idempotent_requests as r (
    tenant_id, credential, request_key, claim_id, fingerprint
)
values (
    %(tenant_id)s,
    %(credential)s,
    %(request_key)s,
    %(claim_id)s,
    %(fingerprint)s
)
on conflict (tenant_id, credential, request_key) do update
set
    claim_id = excluded.claim_id,
    fingerprint = excluded.fingerprint,
    claimed_at = excluded.claimed_at,
    is_applied = false,
    status = null,
    headers = null,
    key_id = null,
    sealed_secret = null
where
    r.claimed_at < excluded.claimed_at - %(kept)s::interval
    or (
        r.fingerprint = excluded.fingerprint
        and r.status is null
        and not r.is_applied
        and r.claimed_at < excluded.claimed_at - %(lease)s::interval
    )
returning r.claim_id;

-- name: find_request
-- The request that has a key, and its answer if there is one.
select
    fingerprint,
    status,
    headers,
    key_id,
    sealed_secret,
    is_applied and claimed_at < now() - %(lease)s::interval as is_lost
from app.idempotent_requests
where
    tenant_id = %(tenant_id)s
    and credential = %(credential)s
    and request_key = %(request_key)s;

-- name: mark_request
-- Record in a transaction that it changes something for a request, if it has written, or if the
-- change is outside of the database. No row if another process has taken the request over.
update app.idempotent_requests
set
    is_applied = is_applied or %(is_outside)s or pg_current_xact_id_if_assigned() is not null
where
    tenant_id = %(tenant_id)s
    and credential = %(credential)s
    and request_key = %(request_key)s
    and claim_id = %(claim_id)s
returning claim_id;

-- name: store_answer
-- Store the answer to a request, for its repeats.
update app.idempotent_requests
set
    status = %(status)s,
    headers = %(headers)s,
    key_id = %(key_id)s,
    sealed_secret = %(sealed_secret)s
where
    tenant_id = %(tenant_id)s
    and credential = %(credential)s
    and request_key = %(request_key)s
    and claim_id = %(claim_id)s;

-- name: release_request
-- Give the key of a request back that failed, unless it has changed something.
delete from app.idempotent_requests
where
    tenant_id = %(tenant_id)s
    and credential = %(credential)s
    and request_key = %(request_key)s
    and claim_id = %(claim_id)s
    and not is_applied;

-- name: end_lease
-- Let a request that failed after a change be known as lost at once.
update app.idempotent_requests
set claimed_at = claimed_at - %(lease)s::interval
where
    tenant_id = %(tenant_id)s
    and credential = %(credential)s
    and request_key = %(request_key)s
    and claim_id = %(claim_id)s;

-- name: purge_requests
-- Delete keys after a day.
delete from app.idempotent_requests
where tenant_id = %(tenant_id)s and claimed_at < now() - %(kept)s::interval;
