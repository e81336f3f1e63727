-- name: load_csv_orders
-- Lands the file's readable orders, of each the last line. What a file does not say (a note, items,
-- when the first parcel left) stays as it was. A row that the API landed gives way
-- only to a line that is provably later, and keeps what no CSV file can hold; a row from a CSV file
-- gives way unless the line is provably older. What is marked deleted stays so.
with incoming as (
    select distinct on (c.order_id) c.*
    from pg_temp.csv_orders as c
    where c.reason is null and c.is_further_item is null
    order by c.order_id asc, c.line_number desc
),

landed as (
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
        coalesce(i.line_items, '[]'),
        i.first_fulfilled_at,
        'csv',
        i.updated_at
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
        note = coalesce(excluded.note, o.note),
        line_items = case excluded.line_items
            when '[]' then o.line_items else excluded.line_items
        end,
        first_fulfilled_at = coalesce(excluded.first_fulfilled_at, o.first_fulfilled_at),
        source = excluded.source,
        shopify_updated_at = excluded.shopify_updated_at,
        landed_at = excluded.landed_at,
        landed_xid = excluded.landed_xid,
        former_customer_ids = case
            when o.customer_id is distinct from excluded.customer_id
                then array_append(o.former_customer_ids, o.customer_id)
            else o.former_customer_ids
        end
    where
        o.tenant_id = %(tenant_id)s
        and case o.source
            when 'api' then coalesce(excluded.shopify_updated_at > o.shopify_updated_at, false)
            else coalesce(excluded.shopify_updated_at >= o.shopify_updated_at, true)
        end
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
            o.source,
            o.shopify_updated_at
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
            coalesce(excluded.note, o.note),
            case excluded.line_items when '[]' then o.line_items else excluded.line_items end,
            coalesce(excluded.first_fulfilled_at, o.first_fulfilled_at),
            excluded.source,
            excluded.shopify_updated_at
        )
    returning 1
)

select
    (select count(*) from landed) as landed,
    (
        select count(*)
        from pg_temp.csv_orders as c
        where c.reason is null and c.is_further_item is null
    ) as readable;
