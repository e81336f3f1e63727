-- name: load_bulk_orders
-- Lands some blocks of a bulk operation's orders with the lines in the blocks around: writes a row
-- only when it differs and is not older than ours, as land_orders does.
with orders_read as (
    select distinct on (o.order_id) o.*
    from pg_temp.bulk_orders as o
    where
        o.block between %(first_block)s and %(last_block)s
        and not exists (
            select from pg_temp.bulk_rejections as j
            where j.source_id = o.order_id
        )
    order by o.order_id asc, o.shopify_updated_at desc
),

lines_read as (
    select distinct on (l.order_id, l.line_id)
        l.order_id,
        l.line_id,
        l.total_minor,
        l.item
    from pg_temp.bulk_lines as l
    inner join orders_read as o on l.order_id = o.order_id
    where l.block between %(first_line_block)s and %(last_line_block)s
    order by l.order_id asc, l.line_id asc
),

goods as (
    select
        l.order_id,
        jsonb_agg(l.item order by l.line_id) as line_items,
        sum(l.total_minor)::bigint as total_minor
    from lines_read as l
    group by l.order_id
),

incoming as (
    select
        o.*,
        coalesce(g.line_items, '[]') as line_items,
        coalesce(o.subtotal_minor, g.total_minor, 0) as goods_minor
    from orders_read as o
    left join goods as g on o.order_id = g.order_id
),

written as (
    insert into shopify.orders as o (
        tenant_id,
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
        line_items,
        first_fulfilled_at,
        delivered_at,
        source,
        shopify_updated_at
    )
    select
        %(tenant_id)s,
        i.order_id,
        i.order_number,
        i.customer_id,
        i.customer_email,
        i.customer_name,
        i.processed_at,
        i.cancelled_at,
        i.is_test,
        i.currency,
        i.total_minor,
        i.goods_minor,
        i.refunded_minor,
        i.financial_status,
        i.fulfillment_status,
        i.channel,
        i.tags,
        i.note,
        i.line_items,
        i.first_fulfilled_at,
        i.delivered_at,
        'api',
        i.shopify_updated_at
    from incoming as i
    on conflict (tenant_id, order_id) do update set
        order_number = excluded.order_number,
        customer_id = excluded.customer_id,
        customer_email = excluded.customer_email,
        customer_name = excluded.customer_name,
        processed_at = excluded.processed_at,
        cancelled_at = excluded.cancelled_at,
        is_test = excluded.is_test,
        currency = excluded.currency,
        total_minor = excluded.total_minor,
        subtotal_minor = excluded.subtotal_minor,
        refunded_minor = excluded.refunded_minor,
        financial_status = excluded.financial_status,
        fulfillment_status = excluded.fulfillment_status,
        channel = excluded.channel,
        tags = excluded.tags,
        note = excluded.note,
        line_items = excluded.line_items,
        first_fulfilled_at = excluded.first_fulfilled_at,
        delivered_at = excluded.delivered_at,
        source = excluded.source,
        shopify_updated_at = excluded.shopify_updated_at,
        landed_at = excluded.landed_at,
        landed_xid = excluded.landed_xid,
        former_customer_ids = case
            when o.customer_id is distinct from excluded.customer_id
                then array_append(o.former_customer_ids, o.customer_id)
            else o.former_customer_ids
        end,
        deleted_at = null
    where
        o.tenant_id = %(tenant_id)s
        -- Of what an operation left unfinished, lines may be missing: only the absent is taken.
        and not %(is_partial)s
        -- Deleted after the operation began, so that it may still have been listed.
        and coalesce(o.deleted_at < %(noted_at)s, true)
        and (
            o.source = 'csv'
            or coalesce(o.shopify_updated_at <= excluded.shopify_updated_at, true)
        )
        and (
            o.order_number,
            o.customer_id,
            o.customer_email,
            o.customer_name,
            o.processed_at,
            o.cancelled_at,
            o.is_test,
            o.currency,
            o.total_minor,
            o.subtotal_minor,
            o.refunded_minor,
            o.financial_status,
            o.fulfillment_status,
            o.channel,
            o.tags,
            o.note,
            o.line_items,
            o.first_fulfilled_at,
            o.delivered_at,
            o.source,
            o.shopify_updated_at,
            o.deleted_at
        ) is distinct from (
            excluded.order_number,
            excluded.customer_id,
            excluded.customer_email,
            excluded.customer_name,
            excluded.processed_at,
            excluded.cancelled_at,
            excluded.is_test,
            excluded.currency,
            excluded.total_minor,
            excluded.subtotal_minor,
            excluded.refunded_minor,
            excluded.financial_status,
            excluded.fulfillment_status,
            excluded.channel,
            excluded.tags,
            excluded.note,
            excluded.line_items,
            excluded.first_fulfilled_at,
            excluded.delivered_at,
            excluded.source,
            excluded.shopify_updated_at,
            null::timestamptz
        )
    returning 1
)

select count(*) as written
from written;
