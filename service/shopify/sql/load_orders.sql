-- name: load_orders
-- Lands a page of orders: writes a row only when it differs and is not older than ours. What the
-- API says replaces what a CSV file said, whatever its date: a file is a copy of it.
with incoming as (
    select distinct on (r.order_id) r.*
    from jsonb_to_recordset(%(rows)s) as r (
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
        line_items jsonb,
        first_fulfilled_at timestamptz,
        delivered_at timestamptz,
        shopify_updated_at timestamptz
    )
    order by r.order_id asc, r.shopify_updated_at desc
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
        i.subtotal_minor,
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
        and (
            o.source = 'csv'
            or coalesce(o.shopify_updated_at <= excluded.shopify_updated_at, true)
        )
        -- Deleted after it was read.
        and coalesce(o.deleted_at < %(read_at)s, true)
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
