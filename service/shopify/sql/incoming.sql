-- name: create_incoming_orders
-- Orders of a bulk operation or a CSV file, and their lines, which come apart. The position is the
-- number of the file's block or line. Of two orders with one id, that with the greater position
-- counts, then the newer one.
create temporary table incoming_orders (
    position bigint not null,
    order_id text not null,
    order_number text,
    customer_id text,
    customer_email text,
    customer_phone text,
    customer_name text,
    processed_at timestamptz not null,
    cancelled_at timestamptz,
    is_test boolean not null,
    currency text not null,
    total_minor bigint not null,
    subtotal_minor bigint,
    refunded_minor bigint not null,
    current_total_minor bigint,
    current_subtotal_minor bigint,
    financial_status text,
    fulfillment_status text,
    channel text,
    tags text[] not null,
    note text,
    first_fulfilled_at timestamptz,
    delivered_at timestamptz,
    shopify_updated_at timestamptz
) on commit drop;

create temporary table incoming_lines (
    position bigint not null,
    order_id text not null,
    line_id bigint not null,
    currency text not null,
    total_minor bigint not null,
    item jsonb not null
) on commit drop;

-- name: create_incoming_customers
-- Customers of a bulk operation.
create temporary table incoming_customers (
    position bigint not null,
    customer_id text not null,
    email text,
    display_name text,
    marketing_state text,
    tags text[] not null,
    created_at timestamptz,
    shopify_updated_at timestamptz
) on commit drop;

create index incoming_customers_position_idx on pg_temp.incoming_customers (position);

-- name: copy_incoming_orders
-- Adds orders without their lines.
copy pg_temp.incoming_orders from stdin with (null '␀');

-- name: copy_incoming_lines
-- Adds lines of orders.
copy pg_temp.incoming_lines from stdin with (null '␀');

-- name: copy_incoming_customers
-- Adds customers.
copy pg_temp.incoming_customers from stdin with (null '␀');

-- name: create_incoming_rejections
-- Records that could not be read. Of two with one id, that with the greater position counts.
create temporary table if not exists incoming_rejections (
    position bigint not null,
    entity text not null,
    source_id text not null,
    reason text not null,
    payload jsonb not null
) on commit drop;

-- name: copy_incoming_rejections
-- Adds records that could not be read.
copy pg_temp.incoming_rejections from stdin with (null '␀');

-- name: read_page_orders
-- The orders of a page, as load_orders takes them. Their JSON has the table's columns; a column
-- that it lacks was not read, so the stored value stays, unless it is about another customer.
select distinct on (r.order_id)
    r.*, -- noqa: AM04
    r.subtotal_minor as goods_minor
from jsonb_array_elements(%(rows)s) as p (fields)
left join shopify.orders as s
    on s.tenant_id = %(tenant_id)s and p.fields ->> 'order_id' = s.order_id
cross join lateral
    jsonb_populate_record(
        s,
        case
            when p.fields ->> 'customer_id' <> s.customer_id
                then '{"customer_email": null, "customer_name": null}'::jsonb || p.fields
            else p.fields
        end
    ) as r
order by r.order_id asc, r.shopify_updated_at desc;

-- name: read_page_customers
-- The customers of a page, as load_customers takes them. Their JSON has the table's columns; a
-- column that it lacks was not read, so the stored value stays.
select distinct on (r.customer_id) r.* -- noqa: AM04
from jsonb_array_elements(%(rows)s) as p (fields)
left join shopify.customers as s
    on s.tenant_id = %(tenant_id)s and p.fields ->> 'customer_id' = s.customer_id
cross join lateral jsonb_populate_record(s, p.fields) as r
order by r.customer_id asc, r.shopify_updated_at desc;

-- name: keep_stored_orders
-- Gives incoming orders of a position the stored values of columns that were not read.
update pg_temp.incoming_orders as i
set
    customer_id = coalesce(
        i.customer_id, case when 'customer_id' = any(%(kept)s) then o.customer_id end
    ),
    customer_email = coalesce(
        i.customer_email,
        case
            when
                'customer_email' = any(%(kept)s)
                and coalesce(i.customer_id = o.customer_id, true)
                then o.customer_email
        end
    ),
    customer_name = coalesce(
        i.customer_name,
        case
            when
                'customer_name' = any(%(kept)s)
                and coalesce(i.customer_id = o.customer_id, true)
                then o.customer_name
        end
    ),
    channel = coalesce(i.channel, case when 'channel' = any(%(kept)s) then o.channel end),
    note = coalesce(i.note, case when 'note' = any(%(kept)s) then o.note end)
from shopify.orders as o
where
    o.tenant_id = %(tenant_id)s
    and i.order_id = o.order_id
    and i.position = %(position)s;

-- name: keep_stored_customers
-- Gives incoming customers of a position the stored values of columns that were not read.
update pg_temp.incoming_customers as i
set
    email = coalesce(i.email, case when 'email' = any(%(kept)s) then c.email end),
    display_name = coalesce(
        i.display_name, case when 'display_name' = any(%(kept)s) then c.display_name end
    ),
    marketing_state = coalesce(
        i.marketing_state, case when 'marketing_state' = any(%(kept)s) then c.marketing_state end
    )
from shopify.customers as c
where
    c.tenant_id = %(tenant_id)s
    and i.customer_id = c.customer_id
    and i.position = %(position)s;

-- name: read_incoming_orders
-- The incoming orders of some positions with their lines in a range of positions, as load_orders
-- takes them. A bulk operation's order is left out if any part of it was rejected. A sum beyond
-- bigint is one that is not needed, because the order has a subtotal; other orders were rejected.
with orders_read as (
    select distinct on (o.order_id) o.*
    from pg_temp.incoming_orders as o
    where
        o.position between %(first)s and %(last)s
        and (
            %(source)s = 'csv'
            or not exists (
                select from pg_temp.incoming_rejections as r
                where r.entity = 'order' and r.source_id = o.order_id
            )
        )
    order by o.order_id asc, o.position desc, o.shopify_updated_at desc
),

lines_read as (
    select distinct on (l.order_id, l.line_id)
        l.order_id,
        l.line_id,
        l.total_minor,
        l.item
    from pg_temp.incoming_lines as l
    inner join orders_read as o on l.order_id = o.order_id
    where l.position between %(first_line)s and %(last_line)s
    order by l.order_id asc, l.line_id asc
),

goods as (
    select
        l.order_id,
        jsonb_agg(l.item order by l.line_id) as line_items,
        sum(l.total_minor) as total_minor
    from lines_read as l
    group by l.order_id
)

select
    o.*, -- noqa: AM04
    coalesce(g.line_items, '[]') as line_items,
    coalesce(o.subtotal_minor, g.total_minor::bigint, 0) as goods_minor
from orders_read as o
left join goods as g on o.order_id = g.order_id;

-- name: read_incoming_customers
-- The incoming customers of some positions, as load_customers takes them.
select distinct on (i.customer_id) i.* -- noqa: AM04
from pg_temp.incoming_customers as i
where i.position between %(first)s and %(last)s
order by i.customer_id asc, i.position desc, i.shopify_updated_at desc;

-- name: clear_order_rejections
-- Clears what was rejected before of the incoming orders that are not rejected now.
delete from shopify.rejected_rows as j
where
    j.tenant_id = %(tenant_id)s
    and j.entity = 'order'
    and exists (
        select from pg_temp.incoming_orders as i
        where i.order_id = j.source_id
    )
    and not exists (
        select from pg_temp.incoming_rejections as r
        where r.entity = j.entity and r.source_id = j.source_id
    );

-- name: clear_customer_rejections
-- Clears what was rejected before of the incoming customers that are not rejected now.
delete from shopify.rejected_rows as j
where
    j.tenant_id = %(tenant_id)s
    and j.entity = 'customer'
    and exists (
        select from pg_temp.incoming_customers as i
        where i.customer_id = j.source_id
    )
    and not exists (
        select from pg_temp.incoming_rejections as r
        where r.entity = j.entity and r.source_id = j.source_id
    );

-- name: clear_rejections
-- Clears what was rejected before of records that a page has brought.
delete from shopify.rejected_rows
where
    tenant_id = %(tenant_id)s
    and entity = %(entity)s
    and source_id = any(%(source_ids)s);

-- name: quarantine
-- Keeps the records that could not be read, with the reason, and returns how many they are.
with kept as (
    insert into shopify.rejected_rows as j (tenant_id, entity, source_id, reason, payload)
    select distinct on (r.entity, r.source_id)
        %(tenant_id)s,
        r.entity,
        r.source_id,
        r.reason,
        r.payload
    from pg_temp.incoming_rejections as r
    order by r.entity asc, r.source_id asc, r.position desc, r.reason asc
    on conflict (tenant_id, entity, source_id) do update set
        reason = excluded.reason,
        payload = excluded.payload,
        rejected_at = excluded.rejected_at
    where
        j.tenant_id = %(tenant_id)s
        and (j.reason, j.payload) is distinct from (excluded.reason, excluded.payload)
)

select count(distinct r.source_id) as rejected
from pg_temp.incoming_rejections as r;
