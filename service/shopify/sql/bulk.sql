-- name: find_bulk_operation
-- The bulk operation of a resource that has not landed yet.
select
    operation_id,
    query_hash,
    began_at,
    noted_at,
    attempt,
    is_spent
from shopify.bulk_operations
where tenant_id = %(tenant_id)s and resource = %(resource)s;

-- name: record_bulk_operation
-- Notes a bulk operation that has just been started, so that a restart goes on with it.
insert into shopify.bulk_operations as b (
    tenant_id, resource, operation_id, query_hash, began_at, attempt
)
values (
    %(tenant_id)s, %(resource)s, %(operation_id)s, %(query_hash)s, %(began_at)s, %(attempt)s
)
on conflict (tenant_id, resource) do update set
    operation_id = excluded.operation_id,
    query_hash = excluded.query_hash,
    began_at = excluded.began_at,
    noted_at = excluded.noted_at,
    attempt = excluded.attempt,
    is_spent = false
where b.tenant_id = %(tenant_id)s
returning operation_id, query_hash, began_at, noted_at, attempt, is_spent;

-- name: consume_bulk_operation
-- Notes that nothing more is to be had of a bulk operation.
update shopify.bulk_operations
set is_spent = true
where tenant_id = %(tenant_id)s and resource = %(resource)s;

-- name: delete_bulk_operation
-- Forgets a bulk operation, in the transaction that has landed what it was for.
delete from shopify.bulk_operations
where tenant_id = %(tenant_id)s and resource = %(resource)s;

-- name: create_bulk_orders
-- What has been read of a bulk operation's orders and of their lines, which come apart: each with
-- the number of the block of the file it was in, because nearly all lines are near their order.
create temporary table bulk_orders (
    block integer not null,
    order_id text not null,
    order_number text,
    customer_id text,
    customer_email text,
    customer_name text,
    processed_at timestamptz not null,
    cancelled_at timestamptz,
    is_test boolean not null,
    currency text not null,
    total_minor bigint not null,
    subtotal_minor bigint,
    refunded_minor bigint not null,
    financial_status text,
    fulfillment_status text,
    channel text,
    tags text[] not null,
    note text,
    first_fulfilled_at timestamptz,
    delivered_at timestamptz,
    shopify_updated_at timestamptz not null
) on commit drop;

create temporary table bulk_lines (
    block integer not null,
    order_id text not null,
    line_id bigint not null,
    currency text not null,
    total_minor bigint not null,
    item jsonb not null
) on commit drop;

create index bulk_orders_block_idx on pg_temp.bulk_orders (block);

create index bulk_lines_block_idx on pg_temp.bulk_lines (block);

-- Orders with a line too far away to have been landed with them.
create temporary table bulk_late (
    order_id text not null
) on commit drop;

-- name: create_bulk_customers
-- What has been read of a bulk operation's customers.
create temporary table bulk_customers (
    block integer not null,
    customer_id text not null,
    email text,
    display_name text,
    marketing_state text,
    tags text[] not null,
    created_at timestamptz,
    shopify_updated_at timestamptz
) on commit drop;

create index bulk_customers_block_idx on pg_temp.bulk_customers (block);

-- name: create_bulk_rejections
-- Records of a bulk operation that could not be read, with the reason.
create temporary table bulk_rejections (
    source_id text not null,
    reason text not null,
    payload jsonb not null
) on commit drop;

-- name: copy_bulk_orders
-- Takes orders as they have been read, without their lines.
copy pg_temp.bulk_orders from stdin with (null '␀');

-- name: copy_bulk_customers
-- Takes customers as they have been read.
copy pg_temp.bulk_customers from stdin with (null '␀');

-- name: copy_bulk_lines
-- Takes lines of orders as they have been read.
copy pg_temp.bulk_lines from stdin with (null '␀');

-- name: copy_bulk_rejections
-- Takes what could not be read.
copy pg_temp.bulk_rejections from stdin with (null '␀');

-- name: record_late_orders
-- Orders that a line of this block belongs to and that are in no block near it.
with late as (
    insert into pg_temp.bulk_late (order_id)
    select distinct l.order_id
    from pg_temp.bulk_lines as l
    where
        l.block = %(block)s
        and not exists (
            select from pg_temp.bulk_orders as o
            where
                o.block between %(block)s - 1 and %(block)s + 1
                and o.order_id = l.order_id
        )
    returning 1
)

select count(*) as late
from late;

-- name: gather_late_orders
-- Puts the orders that have to wait for the end of the file into a block of their own: those whose
-- lines are far away, and those of blocks that have not been landed.
update pg_temp.bulk_orders as o
set block = -1
where
    o.block >= %(first_waiting)s
    or exists (
        select from pg_temp.bulk_late as l
        where l.order_id = o.order_id
    );

-- name: reject_bulk_orders
-- Orders with a line that speaks of another currency: no sum of theirs would mean anything.
insert into pg_temp.bulk_rejections (source_id, reason, payload)
select distinct on (o.order_id)
    o.order_id,
    format('amounts in %%s and in %%s', o.currency, l.currency),
    jsonb_build_object('id', o.order_id, 'lineItems', jsonb_build_array(l.item))
from pg_temp.bulk_orders as o
inner join pg_temp.bulk_lines as l on o.order_id = l.order_id and o.currency <> l.currency
where
    o.block between %(first_block)s and %(last_block)s
    and l.block between %(first_line_block)s and %(last_line_block)s
order by o.order_id asc, l.line_id asc;

-- name: quarantine_bulk_rejections
-- Keeps what could not be read of a bulk operation, with the reason.
with kept as (
    insert into shopify.rejected_rows as j (tenant_id, entity, source_id, reason, payload)
    select distinct on (r.source_id)
        %(tenant_id)s,
        %(entity)s,
        r.source_id,
        r.reason,
        r.payload
    from pg_temp.bulk_rejections as r
    order by r.source_id asc, r.reason asc
    on conflict (tenant_id, entity, source_id) do update set
        reason = excluded.reason,
        payload = excluded.payload,
        rejected_at = excluded.rejected_at
    where
        j.tenant_id = %(tenant_id)s
        and (j.reason, j.payload) is distinct from (excluded.reason, excluded.payload)
    returning 1
)

select
    (select count(distinct r.source_id) from pg_temp.bulk_rejections as r) as rejected,
    (select count(*) from kept) as kept;

-- name: clear_bulk_order_rejections
-- Forgets the rejections of orders that a bulk operation has brought after all.
delete from shopify.rejected_rows as j
where
    j.tenant_id = %(tenant_id)s
    and j.entity = 'order'
    and exists (
        select from pg_temp.bulk_orders as r
        where r.order_id = j.source_id
    )
    and not exists (
        select from pg_temp.bulk_rejections as r
        where r.source_id = j.source_id
    );

-- name: clear_bulk_customer_rejections
-- Forgets the rejections of customers that a bulk operation has brought after all.
delete from shopify.rejected_rows as j
where
    j.tenant_id = %(tenant_id)s
    and j.entity = 'customer'
    and exists (
        select from pg_temp.bulk_customers as r
        where r.customer_id = j.source_id
    )
    and not exists (
        select from pg_temp.bulk_rejections as r
        where r.source_id = j.source_id
    );
