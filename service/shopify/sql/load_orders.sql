-- name: load_orders
-- Writes the incoming orders that differ from the stored ones and are not older: read_page_orders
-- or read_incoming_orders. What the API ('api') says replaces what a file ('csv') said, whatever
-- its date, because a file is a copy of it. A file replaces what the API said only if it is
-- provably later; it keeps what it does not mention (a note, items, parcels), and deleted orders
-- stay deleted. Its current totals come from keep_current_totals.
with written as (
    insert into shopify.orders as o (
        tenant_id,
        order_id,
        order_number,
        customer_id,
        customer_email,
        customer_phone,
        customer_name,
        processed_at,
        cancelled_at,
        is_test,
        currency,
        total_minor,
        subtotal_minor,
        refunded_minor,
        current_total_minor,
        current_subtotal_minor,
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
        app.clean_address(i.customer_email),
        i.customer_phone,
        i.customer_name,
        i.processed_at,
        i.cancelled_at,
        i.is_test,
        i.currency,
        i.total_minor,
        i.goods_minor,
        i.refunded_minor,
        i.current_total_minor,
        i.current_subtotal_minor,
        i.financial_status,
        i.fulfillment_status,
        i.channel,
        i.tags,
        i.note,
        i.line_items,
        i.first_fulfilled_at,
        i.delivered_at,
        %(source)s,
        i.shopify_updated_at
    from {incoming} as i
    on conflict (tenant_id, order_id) do update set
        order_number = excluded.order_number,
        customer_id = excluded.customer_id,
        customer_email = excluded.customer_email,
        customer_phone = excluded.customer_phone,
        customer_name = excluded.customer_name,
        processed_at = excluded.processed_at,
        cancelled_at = excluded.cancelled_at,
        is_test = excluded.is_test,
        currency = excluded.currency,
        total_minor = excluded.total_minor,
        subtotal_minor = excluded.subtotal_minor,
        refunded_minor = excluded.refunded_minor,
        current_total_minor = excluded.current_total_minor,
        current_subtotal_minor = excluded.current_subtotal_minor,
        financial_status = excluded.financial_status,
        fulfillment_status = excluded.fulfillment_status,
        channel = excluded.channel,
        tags = excluded.tags,
        note = coalesce(excluded.note, case when excluded.source = 'csv' then o.note end),
        line_items = case
            when excluded.source = 'csv' and excluded.line_items = '[]' then o.line_items
            else excluded.line_items
        end,
        first_fulfilled_at = coalesce(
            excluded.first_fulfilled_at,
            case when excluded.source = 'csv' then o.first_fulfilled_at end
        ),
        delivered_at = case
            when excluded.source = 'csv' then o.delivered_at else excluded.delivered_at
        end,
        source = excluded.source,
        shopify_updated_at = excluded.shopify_updated_at,
        landed_at = excluded.landed_at,
        landed_xid = excluded.landed_xid,
        former_customer_ids = case
            when o.customer_id is distinct from excluded.customer_id
                then array_append(o.former_customer_ids, o.customer_id)
            else o.former_customer_ids
        end,
        deleted_at = case when excluded.source = 'csv' then o.deleted_at end
    where
        o.tenant_id = %(tenant_id)s
        -- A failed bulk operation may lack lines, so it only adds orders.
        and not %(is_partial)s
        -- Deleted after it was read.
        and coalesce(o.deleted_at < %(read_at)s, true)
        and case
            -- Dated in the future, so its date says nothing.
            when o.shopify_updated_at > now() + interval '1 day' then excluded.source = 'api'
            when o.source = excluded.source
                then coalesce(o.shopify_updated_at <= excluded.shopify_updated_at, true)
            when o.source = 'api'
                then coalesce(o.shopify_updated_at < excluded.shopify_updated_at, false)
            else true
        end
        and (
            o.order_number,
            o.customer_id,
            o.customer_email,
            o.customer_phone,
            o.customer_name,
            o.processed_at,
            o.cancelled_at,
            o.is_test,
            o.currency,
            o.total_minor,
            o.subtotal_minor,
            o.refunded_minor,
            o.current_total_minor,
            o.current_subtotal_minor,
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
            excluded.customer_phone,
            excluded.customer_name,
            excluded.processed_at,
            excluded.cancelled_at,
            excluded.is_test,
            excluded.currency,
            excluded.total_minor,
            excluded.subtotal_minor,
            excluded.refunded_minor,
            excluded.current_total_minor,
            excluded.current_subtotal_minor,
            excluded.financial_status,
            excluded.fulfillment_status,
            excluded.channel,
            excluded.tags,
            coalesce(excluded.note, case when excluded.source = 'csv' then o.note end),
            case
                when excluded.source = 'csv' and excluded.line_items = '[]' then o.line_items
                else excluded.line_items
            end,
            coalesce(
                excluded.first_fulfilled_at,
                case when excluded.source = 'csv' then o.first_fulfilled_at end
            ),
            case when excluded.source = 'csv' then o.delivered_at else excluded.delivered_at end,
            excluded.source,
            excluded.shopify_updated_at,
            case when excluded.source = 'csv' then o.deleted_at end
        )
    returning 1
)

select count(*) as written
from written;
