-- name: find_shop_defaults
-- The currency and the country of the tenant's shop, if they are known.
select
    currency,
    country
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
analyze pg_temp.export_rows;

-- name: analyze_incoming_orders
-- Gives the planner statistics, without which it compares the rows one by one.
analyze pg_temp.incoming_orders;

-- name: reject_conflicting_lines
-- Rejects the lines of orders whose lines contradict each other. Returns the first such order, and
-- how many there are. Lines that differ only in what belongs to a state of the order, such as its
-- tags, do not contradict each other, nor do states with their own times. Lines that are added up
-- (sums) need the same customer and currency. It is line-level if they may be items of one order.
with compared as (
    select
        i.order_id,
        array_agg(i.position order by i.position) as positions,
        array_remove(
            array[
                case when count(distinct i.customer_id) > 1 then 'customers' end,
                case when count(distinct i.currency) > 1 then 'currencies' end
            ],
            null
        ) as mismatches,
        array_remove(
            array[
                case when count(distinct i.total_minor) > 1 then 'totals' end,
                -- Without subtotals they are the totals.
                case
                    when
                        count(distinct i.total_minor) = 1
                        and count(distinct i.subtotal_minor) > 1
                        then 'subtotals'
                end,
                case
                    when not %(is_export)s and count(distinct nullif(i.refunded_minor, 0)) > 1
                        then 'refunds'
                end,
                case when count(distinct i.processed_at) > 1 then 'dates' end
            ],
            null
        ) as line_differences,
        -- Lines with the same time repeat a state only if they say the same.
        count(i.shopify_updated_at) = count(*)
        and count(distinct i.shopify_updated_at) = count(
            distinct row(
                i.shopify_updated_at,
                i.customer_id,
                i.currency,
                i.total_minor,
                i.subtotal_minor,
                i.refunded_minor,
                i.processed_at
            )
        ) as are_states,
        greatest(sum(i.total_minor), sum(i.subtotal_minor), sum(i.refunded_minor))
        > 9223372036854775807 as is_sum_too_large
    from pg_temp.incoming_orders as i
    group by i.order_id
    having count(*) > 1
),

conflicts as (
    select
        c.order_id,
        c.positions,
        c.mismatches
        || case when %(sums)s then '{}'::text[] else c.line_differences end as differences,
        %(sums)s and c.is_sum_too_large as is_sum_too_large,
        not %(sums)s and c.mismatches = '{}' as is_line_level
    from compared as c
    where
        (%(sums)s or not c.are_states)
        and (
            c.mismatches <> '{}'
            or (%(sums)s and c.is_sum_too_large)
            or (not %(sums)s and c.line_differences <> '{}')
        )
),

deleted as (
    delete from pg_temp.incoming_orders as i
    using conflicts as c
    where i.order_id = c.order_id
    returning i.position, i.order_id, c.positions, c.differences, c.is_sum_too_large
),

rejected as (
    insert into pg_temp.incoming_rejections (position, entity, source_id, reason, payload)
    select
        d.position,
        'order',
        d.order_id,
        format(
            'the lines of order %%s (%%s) have %%s',
            d.order_id,
            array_to_string(d.positions[:5], ', '),
            concat_ws(
                ' and ',
                'different ' || nullif(array_to_string(d.differences, ' and '), ''),
                case when d.is_sum_too_large then 'amounts whose sum is too large' end
            )
        ),
        jsonb_build_object('order_id', d.order_id, 'lines', d.positions)
    from deleted as d
)

select
    c.order_id,
    c.positions[:5] as positions,
    c.differences,
    c.is_line_level,
    count(*) over () as orders
from conflicts as c
order by c.is_line_level desc, c.positions asc
limit 1;

-- name: gather_export_items
-- Gives each order of an export the items of its rows. A further item has only the name of its
-- order. It belongs to the last first row of that name above it, else to the first one below,
-- because the rows of an order need not follow each other. Without one it is rejected. If the file
-- has an order several times, the items under its last first row count; if all its rows are first
-- rows, because each repeats the order, all different items count. An order whose items are too
-- much together is rejected.
with named as (
    select
        r.position,
        r.order_number,
        r.line_item,
        r.is_further_item,
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

belonging as (
    select
        n.position,
        n.line_item,
        n.first_position,
        o.order_id,
        o.currency,
        max(n.first_position) over (partition by o.order_id) as last_first_position,
        bool_or(n.is_further_item) over (partition by o.order_id) as has_further_items,
        row_number() over (
            partition by o.order_id, n.line_item
            order by n.position
        ) as occurrence
    from named as n
    inner join pg_temp.incoming_orders as o on n.first_position = o.position
),

counting as (
    select
        b.position,
        b.order_id,
        b.currency,
        b.line_item,
        (b.line_item ->> 'total_minor')::bigint as total_minor
    from belonging as b
    where
        b.line_item is not null
        and case
            when b.has_further_items then b.first_position = b.last_first_position
            else b.occurrence = 1
        end
),

too_large as (
    select c.order_id
    from counting as c
    group by c.order_id
    having sum(c.total_minor) > 9223372036854775807
),

gathered as (
    insert into pg_temp.incoming_lines (position, order_id, line_id, currency, total_minor, item)
    select
        c.position,
        c.order_id,
        c.position as line_id,
        c.currency,
        c.total_minor,
        c.line_item
    from counting as c
    where c.order_id not in (select t.order_id from too_large as t)
),

deleted as (
    delete from pg_temp.incoming_orders as o
    using too_large as t
    where o.order_id = t.order_id
    returning o.position, o.order_id, o.order_number
),

rejected as (
    insert into pg_temp.incoming_rejections (position, entity, source_id, reason, payload)
    select
        d.position,
        'order',
        d.order_id,
        'the sum of the items of order ' || d.order_number || ' is too large',
        jsonb_build_object('order_id', d.order_id)
    from deleted as d
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

-- name: count_lines
-- How many lines have an order, and how many orders they have.
select
    count(*) as lines,
    count(distinct i.order_id) as orders
from pg_temp.incoming_orders as i;

-- name: sum_lines
-- Gives the last line of each order the sum of its lines' amounts, their first date and all their
-- tags. The order is cancelled when all of them are.
update pg_temp.incoming_orders as i
set
    total_minor = s.total_minor,
    subtotal_minor = s.subtotal_minor,
    refunded_minor = s.refunded_minor,
    processed_at = s.processed_at,
    cancelled_at = s.cancelled_at,
    is_test = s.is_test,
    customer_id = s.customer_id,
    customer_email = s.customer_email,
    customer_phone = s.customer_phone,
    tags = array(
        select distinct t.tag
        from pg_temp.incoming_orders as l
        cross join lateral unnest(l.tags) as t (tag)
        where l.order_id = s.order_id
        order by t.tag
    ),
    shopify_updated_at = s.shopify_updated_at
from (
    select
        l.order_id,
        max(l.position) as position,
        sum(l.total_minor)::bigint as total_minor,
        sum(l.subtotal_minor)::bigint as subtotal_minor,
        sum(l.refunded_minor)::bigint as refunded_minor,
        min(l.processed_at) as processed_at,
        max(l.customer_id) as customer_id,
        max(l.customer_email) as customer_email,
        max(l.customer_phone) as customer_phone,
        case when bool_and(l.cancelled_at is not null) then max(l.cancelled_at) end as cancelled_at,
        bool_or(l.is_test) as is_test,
        max(l.shopify_updated_at) as shopify_updated_at
    from pg_temp.incoming_orders as l
    group by l.order_id
    having count(*) > 1
) as s
where i.position = s.position;

-- name: drop_repeated_lines
-- Leaves one line of each order: the latest by its time, else the one with the most that cannot be
-- undone, else the last one.
delete from pg_temp.incoming_orders as i
using (
    select
        l.position,
        row_number() over (
            partition by l.order_id
            order by
                l.shopify_updated_at desc nulls last,
                l.refunded_minor desc,
                l.cancelled_at is null,
                l.customer_id is null,
                l.position desc
        ) as place
    from pg_temp.incoming_orders as l
) as p
where i.position = p.position and p.place > 1;

-- name: keep_unmentioned
-- Gives the incoming orders what is stored of them and the file has no column for. A status that is
-- blank is not mentioned either.
update pg_temp.incoming_orders as i
set
    customer_email = case
        when 'customer_email' = any(%(unmentioned)s) then o.customer_email else i.customer_email
    end,
    customer_phone = case
        when 'customer_phone' = any(%(unmentioned)s) then o.customer_phone else i.customer_phone
    end,
    customer_name = case
        when 'customer_name' = any(%(unmentioned)s) then o.customer_name else i.customer_name
    end,
    order_number = case
        when 'order_number' = any(%(unmentioned)s) then o.order_number else i.order_number
    end,
    channel = case when 'channel' = any(%(unmentioned)s) then o.channel else i.channel end,
    tags = case when 'tags' = any(%(unmentioned)s) then o.tags else i.tags end,
    is_test = case when 'is_test' = any(%(unmentioned)s) then o.is_test else i.is_test end,
    cancelled_at = case
        when 'cancelled_at' = any(%(unmentioned)s) then o.cancelled_at else i.cancelled_at
    end,
    refunded_minor = case
        when 'refunded_minor' = any(%(unmentioned)s) and i.currency = o.currency
            then o.refunded_minor
        else i.refunded_minor
    end,
    financial_status = coalesce(i.financial_status, o.financial_status),
    fulfillment_status = coalesce(i.fulfillment_status, o.fulfillment_status)
from shopify.orders as o
where o.tenant_id = %(tenant_id)s and i.order_id = o.order_id;

-- name: keep_current_totals
-- Gives the incoming orders without current totals what is known of them. What was taken off the
-- stored total beyond its refund, such as an exchange, is taken off the new total, too: the stored
-- figure itself would be of another total or refund. A refund that grew is first a refund of what
-- was taken off. The current subtotal is only kept where nothing can have raised it. Run after
-- keep_unmentioned, which decides on the refund.
update pg_temp.incoming_orders as i
set
    current_total_minor = case
        when i.current_total_minor is not null or o.current_total_minor is null
            then i.current_total_minor
        when i.total_minor = o.total_minor and i.refunded_minor = o.refunded_minor
            then o.current_total_minor
        else greatest(
            i.total_minor
            - least(i.refunded_minor, i.total_minor)
            - greatest(
                o.total_minor
                - o.current_total_minor
                - greatest(i.refunded_minor, o.refunded_minor),
                0
            ),
            0
        )
    end,
    current_subtotal_minor = coalesce(
        i.current_subtotal_minor,
        case
            when i.total_minor = o.total_minor and i.refunded_minor >= o.refunded_minor
                then o.current_subtotal_minor
        end
    )
from shopify.orders as o
where o.tenant_id = %(tenant_id)s and i.order_id = o.order_id and i.currency = o.currency;

-- name: take_out_older
-- Takes out the lines of an older file: they would take back a refund, a payment, a cancellation,
-- an exchange or a fulfilment that another file said, and are not later by their time. Returns the
-- first of them, with what they would take back, and how many they are. An exchange adds to the
-- total. Statuses are an open set: one without a rank takes nothing back.
with ranks (status, rank) as (
    values
    ('PENDING', 0),
    ('AUTHORIZED', 0),
    ('PARTIALLY_PAID', 1),
    ('PAID', 1),
    ('PARTIALLY_REFUNDED', 2),
    ('REFUNDED', 2),
    ('VOIDED', 2),
    ('EXPIRED', 2),
    ('UNFULFILLED', 0),
    ('OPEN', 0),
    ('SCHEDULED', 0),
    ('ON_HOLD', 0),
    ('IN_PROGRESS', 0),
    ('PENDING_FULFILLMENT', 0),
    ('PARTIALLY_FULFILLED', 1),
    ('FULFILLED', 2)
),

compared as (
    select
        i.position,
        i.order_id,
        coalesce(i.order_number, i.order_id) as name,
        array_remove(
            array[
                case
                    when i.currency = o.currency and i.refunded_minor < o.refunded_minor
                        then 'a refund'
                end,
                case
                    when
                        i.currency = o.currency
                        and i.total_minor < o.total_minor
                        and o.current_total_minor < o.total_minor - o.refunded_minor
                        then 'an exchange'
                end,
                case
                    when o.cancelled_at is not null and i.cancelled_at is null
                        then 'the cancellation'
                end,
                case
                    when
                        (select r.rank from ranks as r where r.status = i.financial_status)
                        < (select r.rank from ranks as r where r.status = o.financial_status)
                        then 'the status ' || lower(o.financial_status)
                end,
                case
                    when
                        (select r.rank from ranks as r where r.status = i.fulfillment_status)
                        < (select r.rank from ranks as r where r.status = o.fulfillment_status)
                        then 'the status ' || lower(o.fulfillment_status)
                end
            ],
            null
        ) as lost
    from pg_temp.incoming_orders as i
    inner join shopify.orders as o
        on o.tenant_id = %(tenant_id)s and i.order_id = o.order_id
    where
        o.source = 'csv'
        and not coalesce(i.shopify_updated_at > o.shopify_updated_at, false)
),

taken_out as (
    delete from pg_temp.incoming_orders as i
    using compared as c
    where i.position = c.position and c.lost <> '{}'
    returning c.position, c.name, c.lost
)

select
    t.position,
    t.name,
    t.lost,
    count(*) over () as orders
from taken_out as t
order by t.position asc
limit %(most)s;

-- name: find_incoming_customers
-- Finds the customers of orders that come without their ids: the loaded customer with the order's
-- e-mail address, else the customer that another file or the store gave the order, else an id made
-- of the address, else one made of the phone number. An order without any of them is a guest's.
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
            app.customer_id_of_address(app.clean_address(i.customer_email)),
            app.customer_id_of_phone(i.customer_phone)
        ) as customer_id
    from pg_temp.incoming_orders as i
    left join known as k
        on app.customer_id_of_address(app.clean_address(i.customer_email)) = k.made_id
    left join shopify.orders as o
        on
            o.tenant_id = %(tenant_id)s
            and i.order_id = o.order_id
            and o.customer_id not like 'email:%%'
            and o.customer_id not like 'phone:%%'
    where i.customer_id is null
)

update pg_temp.incoming_orders as i
set customer_id = f.customer_id
from found as f
where i.position = f.position;

-- name: count_customers
-- How many orders have no customer, and how many one that only a phone number identifies.
select
    count(*) filter (where i.customer_id is null) as without_customer,
    count(*) filter (where i.customer_id like 'phone:%') as by_phone
from pg_temp.incoming_orders as i;

-- name: count_newer
-- How many incoming orders have left the stored ones as they are, because the store's sync or a
-- later line loaded those. Run after the orders are loaded.
select count(*) as orders
from pg_temp.incoming_orders as i
inner join shopify.orders as o
    on o.tenant_id = %(tenant_id)s and i.order_id = o.order_id
where o.source = 'api' or o.shopify_updated_at > i.shopify_updated_at;

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
