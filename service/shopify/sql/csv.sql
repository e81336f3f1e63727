-- name: find_currency
-- The currency of the tenant's shop, if it is known.
select currency
from app.tenants
where tenant_id = %(tenant_id)s;

-- name: create_export_rows
-- The rows of Shopify's own export: the first row of an order and the rows of its further items.
create temporary table export_rows (
    position bigint not null,
    order_number text not null,
    line_item jsonb,
    is_further_item boolean not null
) on commit drop;

-- name: copy_export_rows
-- Adds rows of an export.
copy pg_temp.export_rows from stdin with (null '␀');

-- name: analyze_export
-- Gives the planner statistics, without which it compares the rows one by one.
analyze pg_temp.export_rows, pg_temp.incoming_orders;

-- name: gather_export_items
-- Gives each order of an export the items of all its rows. A further item has only the name of its
-- order. It belongs to the last first row of that name above it, else to the first one below,
-- because the rows of an order need not follow each other. Without one it is rejected.
with named as (
    select
        r.position,
        r.order_number,
        r.line_item,
        coalesce(
            max(r.position) filter (where not r.is_further_item) over above,
            min(r.position) filter (where not r.is_further_item) over below
        ) as first_position
    from pg_temp.export_rows as r
    window
        above as (partition by r.order_number order by r.position),
        below as (
            partition by r.order_number
            order by r.position
            rows between current row and unbounded following
        )
),

gathered as (
    insert into pg_temp.incoming_lines (position, order_id, line_id, currency, total_minor, item)
    select
        n.position,
        o.order_id,
        n.position as line_id,
        o.currency,
        (n.line_item ->> 'total_minor')::bigint,
        n.line_item
    from named as n
    inner join pg_temp.incoming_orders as o on n.first_position = o.position
    where
        n.line_item is not null
        and not exists (
            select from pg_temp.incoming_orders as later
            where later.order_id = o.order_id and later.position > o.position
        )
)

insert into pg_temp.incoming_rejections (position, entity, source_id, reason, payload)
select
    n.position,
    'csv_line',
    n.position::text,
    'its order ' || n.order_number || ' has no readable first line in this file',
    jsonb_build_object('name', n.order_number, 'line item', n.line_item)
from named as n
where n.first_position is null;

-- name: find_export_customers
-- Finds the customers of an export's orders, which have addresses and no ids: the loaded customer
-- with the address, else the customer that a file with ids gave the order, else an id made of the
-- address. An order without an address is a guest's.
with known as (
    select distinct on (app.customer_id_of_address(c.email))
        app.customer_id_of_address(c.email) as made_id,
        c.customer_id
    from shopify.customers as c
    where c.tenant_id = %(tenant_id)s and c.deleted_at is null and c.email is not null
    order by
        app.customer_id_of_address(c.email) asc,
        c.shopify_updated_at desc nulls last,
        c.customer_id asc
),

found as (
    select
        i.position,
        coalesce(
            k.customer_id,
            o.customer_id,
            app.customer_id_of_address(i.customer_email)
        ) as customer_id
    from pg_temp.incoming_orders as i
    left join known as k on app.customer_id_of_address(i.customer_email) = k.made_id
    left join shopify.orders as o
        on
            o.tenant_id = %(tenant_id)s
            and i.order_id = o.order_id
            and o.customer_id not like 'email:%%'
    where i.customer_email is not null
)

update pg_temp.incoming_orders as i
set customer_id = f.customer_id
from found as f
where i.position = f.position;

-- name: list_rejected_lines
-- The first lines that could not be read, and the number of all.
select
    r.position,
    r.reason,
    count(*) over () as rejected
from pg_temp.incoming_rejections as r
order by r.position asc
limit %(most)s;

-- name: drop_superseded_rejections
-- Drops the rejections of orders that a later line of the file has readable.
delete from pg_temp.incoming_rejections as r
using pg_temp.incoming_orders as o
where r.entity = 'order' and r.source_id = o.order_id and r.position < o.position;

-- name: clear_line_rejections
-- Clears the lines without an order that earlier imports rejected: only the latest ones are kept.
delete from shopify.rejected_rows as j
where
    j.tenant_id = %(tenant_id)s
    and j.entity = 'csv_line'
    and not exists (
        select from pg_temp.incoming_rejections as r
        where r.entity = 'csv_line' and r.source_id = j.source_id
    );
