-- name: list_endpoints
-- A page of a tenant's endpoints, oldest first, with one extra row, or one of them: with the end of
-- the secret and how much waits.
select
    e.endpoint_id,
    e.url,
    e.topics,
    e.segment_ids as segments,
    e.is_enabled,
    e.disabled_reason,
    e.disabled_at,
    e.failing_since,
    e.created_at,
    s.last_four as secret_last_four,
    former.expires_at as former_secret_expires_at,
    newest.error as last_error,
    (
        select count(*)
        from app.webhook_deliveries as d
        where
            d.tenant_id = %(tenant_id)s
            and d.endpoint_id = e.endpoint_id
            and d.state = 'pending'
    ) as pending
from app.webhook_endpoints as e
inner join app.webhook_secrets as s
    on s.tenant_id = %(tenant_id)s and e.endpoint_id = s.endpoint_id and s.expires_at is null
left join lateral (
    select max(f.expires_at) as expires_at
    from app.webhook_secrets as f
    where
        f.tenant_id = %(tenant_id)s
        and f.endpoint_id = e.endpoint_id
        and f.expires_at > now()
) as former on true
left join lateral (
    select d.error
    from app.webhook_deliveries as d
    where
        d.tenant_id = %(tenant_id)s
        and d.endpoint_id = e.endpoint_id
        and d.attempts > 0
        and d.error is not null
    order by d.created_at desc, d.position desc
    limit 1
) as newest on e.failing_since is not null
where
    e.tenant_id = %(tenant_id)s
    and (%(endpoint_id)s::uuid is null or e.endpoint_id = %(endpoint_id)s)
    and (
        %(after_created_at)s::timestamptz is null
        or (e.created_at, e.endpoint_id) > (%(after_created_at)s, %(after_endpoint_id)s)
    )
order by e.created_at, e.endpoint_id
limit %(row_limit)s;

-- name: insert_endpoint
-- Add an endpoint; no row if the tenant has as many as it may have.
insert into app.webhook_endpoints (tenant_id, url, topics, segment_ids)
select
    %(tenant_id)s,
    %(url)s,
    %(topics)s::text[],
    %(segment_ids)s::text[]
where
    (
        select count(*)
        from app.webhook_endpoints as e
        where e.tenant_id = %(tenant_id)s
    ) < %(max_endpoints)s
returning endpoint_id;

-- name: update_endpoint
-- Change an endpoint's URL and topics, unless they are null, and its segments if told so. Failures
-- of another URL say nothing about this one.
update app.webhook_endpoints as e
set
    url = coalesce(%(url)s, e.url),
    topics = coalesce(%(topics)s::text[], e.topics),
    segment_ids = case when %(sets_segments)s then %(segment_ids)s::text[] else e.segment_ids end,
    failing_since = case when coalesce(%(url)s, e.url) = e.url then e.failing_since end,
    retry_at = case when coalesce(%(url)s, e.url) = e.url then e.retry_at end
where e.tenant_id = %(tenant_id)s and e.endpoint_id = %(endpoint_id)s;

-- name: delete_sync_states_of_other_url
-- Forget what an endpoint knows of failing lists if it gets another URL.
delete from app.webhook_sync_states as s
using app.webhook_endpoints as e
where
    s.tenant_id = %(tenant_id)s
    and s.endpoint_id = %(endpoint_id)s
    and e.tenant_id = %(tenant_id)s
    and e.endpoint_id = %(endpoint_id)s
    and e.url <> %(url)s;

-- name: enable_endpoint
-- Enable an endpoint that is disabled.
update app.webhook_endpoints
set
    is_enabled = true,
    disabled_reason = null,
    disabled_at = null,
    failing_since = null,
    retry_at = null
where tenant_id = %(tenant_id)s and endpoint_id = %(endpoint_id)s and not is_enabled;

-- name: disable_endpoint
-- Disable an endpoint; no row if it is disabled already.
update app.webhook_endpoints
set is_enabled = false, disabled_reason = %(reason)s, disabled_at = now()
where tenant_id = %(tenant_id)s and endpoint_id = %(endpoint_id)s and is_enabled
returning endpoint_id;

-- name: give_up_deliveries
-- Give up what waits for an endpoint that has been disabled.
update app.webhook_deliveries
set
    state = 'failed',
    error = 'The endpoint was disabled.',
    next_attempt_at = null,
    finished_at = now()
where tenant_id = %(tenant_id)s and endpoint_id = %(endpoint_id)s and state = 'pending';

-- name: give_up_former_deliveries
-- Give up what waits for an endpoint that is still disabled, except tests.
update app.webhook_deliveries as d
set
    state = 'failed',
    error = 'The endpoint was disabled.',
    next_attempt_at = null,
    finished_at = now()
from app.webhook_endpoints as e
where
    d.tenant_id = %(tenant_id)s
    and d.endpoint_id = %(endpoint_id)s
    and d.state = 'pending'
    and d.topic <> 'test'
    and e.tenant_id = %(tenant_id)s
    and e.endpoint_id = %(endpoint_id)s
    and not e.is_enabled;

-- name: delete_endpoint
-- Delete an endpoint with its secrets and deliveries.
delete from app.webhook_endpoints
where tenant_id = %(tenant_id)s and endpoint_id = %(endpoint_id)s;

-- name: insert_secret
-- Store an endpoint's current secret.
insert into app.webhook_secrets (tenant_id, endpoint_id, sealed_secret, key_id, last_four)
values (%(tenant_id)s, %(endpoint_id)s, %(sealed_secret)s, %(key_id)s, %(last_four)s);

-- name: expire_secret
-- Make an endpoint's current secret a former one. No former one lives longer than it, nor longer
-- than before.
update app.webhook_secrets
set expires_at = least(expires_at, now() + make_interval(hours => %(keep_hours)s))
where tenant_id = %(tenant_id)s and endpoint_id = %(endpoint_id)s;

-- name: list_secrets
-- An endpoint's URL with each secret that signs its messages, the current one first.
select
    e.url,
    s.sealed_secret,
    s.key_id
from app.webhook_endpoints as e
inner join app.webhook_secrets as s
    on s.tenant_id = %(tenant_id)s and e.endpoint_id = s.endpoint_id
where
    e.tenant_id = %(tenant_id)s
    and e.endpoint_id = %(endpoint_id)s
    and coalesce(s.expires_at > now(), true)
order by s.expires_at desc nulls first, s.secret_id asc;

-- name: purge_secrets
-- Delete expired secrets.
delete from app.webhook_secrets
where tenant_id = %(tenant_id)s and expires_at < now();
