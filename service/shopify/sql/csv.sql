-- name: create_csv_orders
-- The lines of a CSV file, good (without a reason) and bad. In Shopify's export an order's first
-- line has one of its items, further lines have the others; together they are in line_items.
create temporary table csv_orders (
    line_number bigint not null,
    order_id text,
    order_number text,
    customer_id text,
    customer_email text,
    customer_name text,
    processed_at timestamptz,
    cancelled_at timestamptz,
    is_test boolean,
    currency text,
    total_minor bigint,
    subtotal_minor bigint,
    refunded_minor bigint,
    financial_status text,
    fulfillment_status text,
    channel text,
    tags text[],
    note text,
    first_fulfilled_at timestamptz,
    updated_at timestamptz,
    line_item jsonb,
    line_items jsonb,
    is_further_item boolean,
    reason text,
    payload jsonb
) on commit drop;

-- name: copy_csv_orders
-- Fills the table of the file's lines.
copy pg_temp.csv_orders (
    line_number,
    order_id,
    order_number,
    customer_id,
    customer_email,
    customer_name,
    processed_at,
    cancelled_at,
    is_test,
    currency,
    total_minor,
    subtotal_minor,
    refunded_minor,
    financial_status,
    fulfillment_status,
    channel,
    tags,
    note,
    first_fulfilled_at,
    updated_at,
    line_item,
    is_further_item,
    reason,
    payload
) from stdin;

-- name: analyze_csv_orders
-- A temporary table has no statistics, without which its lines are compared one by one.
analyze pg_temp.csv_orders;

-- name: find_currency
-- The currency of the tenant's shop, if it is known.
select currency
from app.tenants
where tenant_id = %(tenant_id)s;

-- name: gather_export_rows
-- Gives each order of Shopify's export the items of all its lines. A further item names its order,
-- not its id, and belongs to the last first line of that name above it, else to the first one
-- below: lines of an order need not follow each other. Those that have found theirs are done with.
with named as (
    select
        c.line_number,
        c.line_item,
        c.is_further_item,
        coalesce(
            max(c.line_number) filter (where c.is_further_item is null) over above,
            min(c.line_number) filter (where c.is_further_item is null) over below
        ) as first_line
    from pg_temp.csv_orders as c
    where c.reason is null
    window
        above as (partition by c.order_number order by c.line_number),
        below as (
            partition by c.order_number
            order by c.line_number
            rows between current row and unbounded following
        )
),

gathered as (
    select
        n.first_line,
        jsonb_agg(n.line_item order by n.line_number) filter (where n.line_item is not null)
            as line_items
    from named as n
    where n.first_line is not null
    group by n.first_line
),

taken as (
    delete from pg_temp.csv_orders as c
    using named as n
    where c.line_number = n.line_number and c.is_further_item and n.first_line is not null
)

update pg_temp.csv_orders as c
set line_items = g.line_items
from gathered as g
where c.line_number = g.first_line;

-- name: find_export_customers
-- Tells whose the orders of Shopify's export are, which has addresses and no ids: the landed
-- customer's who has the address; else whose a file with ids has said the order is; else an id made
-- of the address. Without an address an order is a guest's.
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
        l.line_number,
        coalesce(
            k.customer_id,
            o.customer_id,
            app.customer_id_of_address(l.customer_email)
        ) as customer_id
    from pg_temp.csv_orders as l
    left join known as k on app.customer_id_of_address(l.customer_email) = k.made_id
    left join shopify.orders as o
        on
            o.tenant_id = %(tenant_id)s
            and l.order_id = o.order_id
            and o.customer_id not like 'email:%%'
    where l.reason is null and l.customer_email is not null
)

update pg_temp.csv_orders as l
set customer_id = f.customer_id
from found as f
where l.line_number = f.line_number;

-- name: reject_csv_lines
-- Keeps the lines that could not be read, with the reason: by their order where they have one, else
-- by their line, which then stands for the latest import only. An order whose last line was good
-- is no longer a rejected one.
with last_lines as (
    select distinct on (c.order_id)
        c.order_id,
        c.reason,
        c.payload
    from pg_temp.csv_orders as c
    where c.order_id is not null
    order by c.order_id asc, c.line_number desc
),

rejected as (
    select
        'order' as entity,
        l.order_id as source_id,
        l.reason,
        l.payload
    from last_lines as l
    where l.reason is not null
    union all
    select
        'csv_line' as entity,
        c.line_number::text as source_id,
        c.reason,
        c.payload
    from pg_temp.csv_orders as c
    where c.order_id is null
),

taken_back as (
    delete from shopify.rejected_rows as j
    where
        j.tenant_id = %(tenant_id)s
        and (
            (
                j.entity = 'order'
                and exists (
                    select from last_lines as l
                    where l.order_id = j.source_id and l.reason is null
                )
            )
            or (
                j.entity = 'csv_line'
                and not exists (
                    select from rejected as r
                    where r.entity = 'csv_line' and r.source_id = j.source_id
                )
            )
        )
)

insert into shopify.rejected_rows as j (tenant_id, entity, source_id, reason, payload)
select
    %(tenant_id)s,
    r.entity,
    r.source_id,
    r.reason,
    r.payload
from rejected as r
on conflict (tenant_id, entity, source_id) do update set
    reason = excluded.reason,
    payload = excluded.payload,
    rejected_at = excluded.rejected_at
where
    j.tenant_id = %(tenant_id)s
    and (j.reason, j.payload) is distinct from (excluded.reason, excluded.payload);

-- name: reject_orphaned_rows
-- Rejects the items of orders whose first line is not in the file, or could not be read; shows the
-- first thousand, and how many there are.
with orphaned as (
    update pg_temp.csv_orders
    set
        reason = 'its order ' || order_number || ' has no readable first line in this file',
        payload = jsonb_build_object('name', order_number, 'line item', line_item)
    where is_further_item and reason is null
    returning line_number, reason
)

select
    o.line_number,
    o.reason,
    count(*) over () as orphans
from orphaned as o
order by o.line_number
limit 1000;
