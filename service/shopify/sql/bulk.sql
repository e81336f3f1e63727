-- name: find_bulk_operation
-- The bulk operation of a resource whose result has not been loaded.
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
-- Records a bulk operation that has just been started, so that a restart resumes it.
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
-- Records that a bulk operation's result has been used or cannot be used.
update shopify.bulk_operations
set is_spent = true
where tenant_id = %(tenant_id)s and resource = %(resource)s;

-- name: delete_bulk_operation
-- Deletes the record of a bulk operation, in the transaction that loads its result.
delete from shopify.bulk_operations
where tenant_id = %(tenant_id)s and resource = %(resource)s;

-- name: create_bulk_late
-- Indexes for loading a file in blocks, and the orders that have a line too far away.
create index incoming_orders_position_idx on pg_temp.incoming_orders (position);

create index incoming_lines_position_idx on pg_temp.incoming_lines (position);

create temporary table bulk_late (
    order_id text not null
) on commit drop;

-- name: record_late_orders
-- Records the orders that have a line in this block and are in no block near it.
with late as (
    insert into pg_temp.bulk_late (order_id)
    select distinct l.order_id
    from pg_temp.incoming_lines as l
    where
        l.position = %(block)s
        and not exists (
            select from pg_temp.incoming_orders as o
            where
                o.position between %(block)s - 1 and %(block)s + 1
                and o.order_id = l.order_id
        )
    returning 1
)

select count(*) as late
from late;

-- name: gather_late_orders
-- Puts the orders that wait for the end of the file into a block of their own: those with a line
-- far away, and those of blocks that have not been loaded.
update pg_temp.incoming_orders as o
set position = -1
where
    o.position >= %(first_waiting)s
    or exists (
        select from pg_temp.bulk_late as l
        where l.order_id = o.order_id
    );

-- name: reject_bulk_orders
-- Rejects orders with a line in another currency, because their sums would mean nothing.
insert into pg_temp.incoming_rejections (position, entity, source_id, reason, payload)
select distinct on (o.order_id)
    0,
    'order',
    o.order_id,
    format('amounts in %%s and in %%s', o.currency, l.currency),
    jsonb_build_object('id', o.order_id, 'lineItems', jsonb_build_array(l.item))
from pg_temp.incoming_orders as o
inner join pg_temp.incoming_lines as l on o.order_id = l.order_id and o.currency <> l.currency
where
    o.position = %(block)s
    and l.position between %(first_line)s and %(last_line)s
order by o.order_id asc, l.line_id asc;

-- name: reject_large_orders
-- Rejects orders whose subtotal is the sum of their lines, and beyond bigint.
insert into pg_temp.incoming_rejections (position, entity, source_id, reason, payload)
select
    0,
    'order',
    s.order_id,
    'the sum of its lines is too large',
    jsonb_build_object('id', s.order_id)
from (
    select distinct on (o.order_id, l.line_id)
        o.order_id,
        l.total_minor
    from pg_temp.incoming_orders as o
    inner join pg_temp.incoming_lines as l on o.order_id = l.order_id
    where
        o.position = %(block)s
        and o.subtotal_minor is null
        and l.position between %(first_line)s and %(last_line)s
    order by o.order_id asc, l.line_id asc
) as s
group by s.order_id
having abs(sum(s.total_minor)) > 9223372036854775807;
