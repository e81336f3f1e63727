-- name: list_refetches
-- The next records to refetch that have not been asked for yet.
select source_id
from shopify.rereads
where
    tenant_id = %(tenant_id)s
    and entity = %(entity)s
    and tried_at is null
order by source_id asc
limit %(at_once)s;

-- name: list_retries
-- Records that Shopify could not serve before this sync, least recently tried first.
select source_id
from shopify.rereads
where
    tenant_id = %(tenant_id)s
    and entity = %(entity)s
    and tried_at < %(before)s
order by tried_at asc, source_id asc
limit %(at_once)s;

-- name: count_refetches
-- How many records wait to be refetched and have not been asked for yet.
select count(*) as waiting
from shopify.rereads
where tenant_id = %(tenant_id)s and entity = %(entity)s and tried_at is null;

-- name: delete_refetches
-- Deletes refetched records from the waiting ones, in the transaction that loads them.
delete from shopify.rereads
where
    tenant_id = %(tenant_id)s
    and entity = %(entity)s
    and source_id = any(%(source_ids)s);

-- name: mark_missing_orders
-- Marks refetched orders as deleted that the shop does not have, if the token can see such orders.
with marked as (
    update shopify.orders as x
    set deleted_at = now(), landed_at = default, landed_xid = default
    from shopify.rereads as r
    where
        x.tenant_id = %(tenant_id)s
        and x.order_id = any(%(source_ids)s)
        and x.deleted_at is null
        and x.source = 'api'
        and r.tenant_id = %(tenant_id)s
        and r.entity = 'order'
        and r.source_id = x.order_id
        and r.is_visible
    returning 1
)

select count(*) as written
from marked;

-- name: mark_missing_customers
-- Marks refetched customers as deleted that the shop does not have.
with marked as (
    update shopify.customers as x
    set deleted_at = now(), landed_at = default, landed_xid = default
    from shopify.rereads as r
    where
        x.tenant_id = %(tenant_id)s
        and x.customer_id = any(%(source_ids)s)
        and x.deleted_at is null
        and r.tenant_id = %(tenant_id)s
        and r.entity = 'customer'
        and r.source_id = x.customer_id
        and r.is_visible
    returning 1
)

select count(*) as written
from marked;

-- name: is_comparison_due
-- Whether the loaded ids must be compared with the shop's again; no row if they never were.
select w.synced_at < now() - make_interval(hours => %(hours)s) as is_due
from shopify.sync_watermarks as w
where w.tenant_id = %(tenant_id)s and w.resource = 'comparison';

-- name: create_listed
-- The ids of a bulk listing, and the loaded ids that are missing from it.
create temporary table listed (
    source_id text not null,
    updated_at timestamptz not null,
    customer_id text
) on commit drop;

create temporary table missing (
    source_id text not null
) on commit drop;

-- name: copy_listed
-- Adds a part of the listing, in COPY's text format.
copy pg_temp.listed from stdin with (null '␀');

-- name: find_missing_orders
-- Finds loaded orders that the listing should have and lacks. Orders of a CSV file do not count,
-- because they may be older than the shop; nor do orders that changed after the listing began.
with compared as (
    select
        o.order_id,
        o.order_id in (select l.source_id from pg_temp.listed as l) as is_listed
    from shopify.orders as o
    where
        o.tenant_id = %(tenant_id)s
        and o.source = 'api'
        and o.deleted_at is null
        and (
            o.shopify_updated_at < %(before)s
            -- Dated in the future, so its date says nothing.
            or o.shopify_updated_at > now() + interval '1 day'
        )
        and coalesce(o.processed_at >= %(visible_from)s, true)
),

recorded as (
    insert into pg_temp.missing (source_id)
    select c.order_id
    from compared as c
    where not c.is_listed
    returning 1
)

select
    (select count(*) from recorded) as missing,
    (select count(*) from compared) as compared;

-- name: find_missing_customers
-- Finds loaded customers that the listing should have and lacks. Customers that changed after the
-- listing began do not count.
with compared as (
    select
        c.customer_id,
        c.customer_id in (select l.source_id from pg_temp.listed as l) as is_listed
    from shopify.customers as c
    where
        c.tenant_id = %(tenant_id)s
        and c.deleted_at is null
        and (
            c.shopify_updated_at < %(before)s
            -- Dated in the future, so its date says nothing.
            or c.shopify_updated_at > now() + interval '1 day'
        )
),

recorded as (
    insert into pg_temp.missing (source_id)
    select p.customer_id
    from compared as p
    where not p.is_listed
    returning 1
)

select
    (select count(*) from recorded) as missing,
    (select count(*) from compared) as compared;

-- name: record_missing
-- Has the missing ids refetched one by one, because only that proves that they are gone.
insert into shopify.rereads as r (tenant_id, entity, source_id, is_visible)
select
    %(tenant_id)s,
    %(entity)s,
    m.source_id,
    true
from pg_temp.missing as m
on conflict (tenant_id, entity, source_id) do update set is_visible = true
where r.tenant_id = %(tenant_id)s and not r.is_visible;

-- name: record_differing_orders
-- Has the orders refetched that the shop lists in another state than the loaded one: newer, of
-- another customer, or not loaded.
insert into shopify.rereads (tenant_id, entity, source_id, is_visible)
select distinct on (l.source_id)
    %(tenant_id)s,
    'order',
    l.source_id,
    coalesce(o.processed_at >= %(visible_from)s, %(visible_from)s::timestamptz is null)
from pg_temp.listed as l
left join shopify.orders as o
    on o.tenant_id = %(tenant_id)s and l.source_id = o.order_id
where
    o.order_id is null
    or o.source <> 'api'
    or o.deleted_at < %(noted_at)s
    or o.shopify_updated_at < l.updated_at
    or o.shopify_updated_at > greatest(l.updated_at, now() + interval '1 day')
    or (
        o.customer_id is distinct from l.customer_id
        and o.shopify_updated_at <= l.updated_at
    )
order by l.source_id asc
on conflict (tenant_id, entity, source_id) do nothing;

-- name: record_differing_customers
-- Has the customers refetched that the shop lists in another state than the loaded one.
insert into shopify.rereads (tenant_id, entity, source_id, is_visible)
select distinct on (l.source_id)
    %(tenant_id)s,
    'customer',
    l.source_id,
    true
from pg_temp.listed as l
left join shopify.customers as c
    on c.tenant_id = %(tenant_id)s and l.source_id = c.customer_id
where
    c.customer_id is null
    or c.deleted_at < %(noted_at)s
    or c.shopify_updated_at < l.updated_at
    or c.shopify_updated_at > greatest(l.updated_at, now() + interval '1 day')
order by l.source_id asc
on conflict (tenant_id, entity, source_id) do nothing;
