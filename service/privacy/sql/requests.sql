-- name: find_country
-- The country of the tenant's shop, if it is known.
select country
from app.tenants
where tenant_id = %(tenant_id)s;

-- name: find_customer_of_phone
-- The id made of a phone number.
select app.customer_id_of_phone(%(phone)s) as customer_id;

-- name: add_request
-- Store an operator's privacy request.
insert into app.webhook_events (
    tenant_id, webhook_id, topic, kind, subject, notice, confirmed_by
)
values (
    %(tenant_id)s, %(webhook_id)s, %(topic)s, %(kind)s, %(subject)s, %(notice)s, 'person'
);

-- name: find_request
-- A queued privacy request.
select
    kind,
    subject as customer_id,
    notice,
    coalesce(triggered_at, received_at) as requested_at,
    attempts,
    is_shop_named,
    confirmed_by is not null as is_confirmed
from app.webhook_events
where tenant_id = %(tenant_id)s and webhook_id = %(webhook_id)s and state = 'queued';

-- name: record_confirmed
-- Record that the store has confirmed an erasure, so that it is not asked again.
update app.webhook_events
set confirmed_by = 'store'
where tenant_id = %(tenant_id)s and webhook_id = %(webhook_id)s and state = 'queued';

-- name: find_removal
-- What is known of the app's removal from the store: whether the store was told to have removed it,
-- and for how many seconds that may still be undone.
select
    state,
    state = 'disconnected' and uninstalled_at is not null as is_removed,
    extract(epoch from uninstalled_at + %(settled_after)s - now())::float8 as seconds_left
from app.connections
where tenant_id = %(tenant_id)s and provider = 'shopify';

-- name: record_removal
-- Record that the store has removed the app, whose webhook about that was lost.
update app.connections
set uninstalled_at = coalesce(uninstalled_at, now())
where tenant_id = %(tenant_id)s and provider = 'shopify';

-- name: record_progress
-- Record a request's finished steps and its person, so that it can be continued.
update app.webhook_events
set notice = %(notice)s
where tenant_id = %(tenant_id)s and webhook_id = %(webhook_id)s and state = 'queued';

-- name: find_running_push
-- A running Klaviyo sync or plan, or update of promo codes or of metafields.
select run_id
from app.runs
where
    tenant_id = %(tenant_id)s
    and kind in ('klaviyo_sync', 'klaviyo_plan', 'promo_codes', 'metafields_sync')
    and state = 'running'
    and heartbeat_at >= now() - make_interval(secs => %(stale_after)s);

-- name: ensure_key
-- Create the tenant's key for digests of erased subjects, once.
insert into app.erasure_keys (tenant_id)
values (%(tenant_id)s)
on conflict (tenant_id) do nothing;

-- name: subject_digest
-- The digest by which an erased customer is recognised.
select app.erasure_digest(k.erasure_key, 'customer', %(customer_id)s) as digest
from app.erasure_keys as k
where k.tenant_id = %(tenant_id)s;

-- name: add_receipt
-- Store the receipt of a request: when, and counts by table, without personal data.
insert into app.privacy_receipts (
    tenant_id, kind, webhook_id, subject, counts, requested_at
)
values (
    %(tenant_id)s, %(kind)s, %(webhook_id)s, %(subject)s, %(counts)s, %(requested_at)s
);

-- name: add_shop_receipt
-- Delete what dbt built for a tenant, and store the receipt of its erasure. Run as
-- quintile_transform, before the tenant is deleted.
insert into app.privacy_receipts (tenant_id, kind, webhook_id, counts, requested_at)
select
    t.tenant_id,
    'shop_redact',
    %(webhook_id)s,
    app.erase_built_rows_of_tenant(t.tenant_id) || jsonb_build_object(
        'shopify.orders',
        (select count(*) from shopify.orders as o where o.tenant_id = %(tenant_id)s),
        'shopify.customers',
        (select count(*) from shopify.customers as c where c.tenant_id = %(tenant_id)s)
    ),
    %(requested_at)s
from app.tenants as t
where t.tenant_id = %(tenant_id)s;

-- name: store_export
-- Store the sealed export of a data request until it expires.
insert into app.privacy_exports (
    tenant_id, subject, sealed_document, key_id, expires_at
)
values (
    %(tenant_id)s,
    %(subject)s,
    %(sealed_secret)s,
    %(key_id)s,
    now() + make_interval(days => %(days)s)
)
returning export_id;

-- name: find_export
-- The sealed export of a data request, until it expires.
select
    sealed_document as sealed_secret,
    key_id
from app.privacy_exports
where tenant_id = %(tenant_id)s and export_id = %(export_id)s and expires_at > now();

-- name: find_newest_export
-- The tenant's newest export.
select export_id
from app.privacy_exports
where tenant_id = %(tenant_id)s
order by created_at desc
limit 1;

-- name: erase_built
-- Delete what dbt built about a person. Run as quintile_transform, which owns the tables.
select
    app.erase_built_rows_of_person(
        %(tenant_id)s,
        %(customer_ids)s,
        %(order_ids)s,
        %(emails)s,
        %(creator_ids)s::uuid[]
    ) as counts;

-- name: rows_built
-- What dbt built about a person. Run as quintile_transform, which owns the tables.
select
    app.rows_built_of_person(
        %(tenant_id)s,
        %(customer_ids)s,
        %(order_ids)s,
        %(emails)s,
        %(creator_ids)s::uuid[]
    ) as built;

-- name: delete_jobs
-- Delete a tenant's jobs, except running ones, which end by themselves. Run as
-- quintile_transform.
delete from jobs.procrastinate_jobs
where args ->> 'tenant_id' = %(tenant_id)s and status <> 'doing';

-- name: delete_tenant
-- Delete the tenant and, by foreign keys, all its rows. Run as quintile_transform.
delete from app.tenants
where tenant_id = %(tenant_id)s;

-- name: find_newer_connection
-- A connection to the store that was made after the app was removed.
select connected_at
from app.connections
where
    tenant_id = %(tenant_id)s
    and provider = 'shopify'
    and state <> 'disconnected'
    and connected_at > %(removed_by)s;
