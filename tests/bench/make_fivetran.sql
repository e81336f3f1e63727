-- The orders as Fivetran's Shopify connector loads them: one schema per tenant, named after it. An
-- order has one or two lines, a payment and a fulfilment, and a refund where it was refunded.
do $$
declare
    tenant record;
begin
    for tenant in select tenant_id, 'landed_' || name as schema_name from app.tenants loop
        execute format('create schema %I', tenant.schema_name);
        perform set_config('search_path', quote_ident(tenant.schema_name), true);

        create table customer as
        select
            c.customer_id::bigint as id,
            split_part(c.display_name, ' ', 1) as first_name,
            split_part(c.display_name, ' ', 2) as last_name,
            c.email,
            null::text as phone,
            'subscribed' as email_marketing_consent_state,
            c.shopify_updated_at as created_at,
            c.shopify_updated_at as updated_at,
            now() as _fivetran_synced,
            false as _fivetran_deleted
        from shopify.customers as c
        where c.tenant_id = tenant.tenant_id;

        create table customer_tag as
        select
            c.id as customer_id,
            1::bigint as index,
            'newsletter' as value
        from customer as c
        where c.id % 10 = 0;

        create table "order" as
        select
            o.order_id::bigint as id,
            o.order_number as name,
            o.customer_id::bigint as customer_id,
            o.customer_email as email,
            o.processed_at as created_at,
            o.processed_at,
            null::timestamptz as cancelled_at,
            o.shopify_updated_at as updated_at,
            false as test,
            o.currency,
            o.total_minor / 100::double precision as total_price,
            null::text as total_price_set,
            o.subtotal_minor / 100::double precision as subtotal_price,
            o.current_total_minor / 100::double precision as current_total_price,
            o.current_subtotal_minor / 100::double precision as current_subtotal_price,
            lower(o.financial_status) as financial_status,
            lower(o.fulfillment_status) as fulfillment_status,
            o.channel as source_name,
            null::bigint as app_id,
            o.note,
            now() as _fivetran_synced,
            false as _fivetran_deleted
        from shopify.orders as o
        where o.tenant_id = tenant.tenant_id;

        create table order_line as
        select
            o.id as order_id,
            o.id * 10 + n as id,
            n::bigint as index,
            'Trail Bottle' as title,
            'Blue' as variant_title,
            'TB-' || n as sku,
            1::bigint as quantity,
            o.total_price / (1 + o.id % 2) as price,
            0::double precision as total_discount
        from "order" as o
        cross join generate_series(1, 1 + o.id % 2) as n;

        create table order_tag as
        select
            o.order_id::bigint as order_id,
            t.position as index,
            t.tag as value
        from shopify.orders as o
        cross join unnest(o.tags) with ordinality as t (tag, position)
        where o.tenant_id = tenant.tenant_id;

        create table transaction as
        select
            o.order_id::bigint * 10 + p.number as id,
            o.order_id::bigint as order_id,
            p.kind,
            'success' as status,
            o.currency,
            p.minor / 100::double precision as amount
        from shopify.orders as o
        cross join
            lateral (
                values (1, 'sale', o.total_minor), (2, 'refund', o.refunded_minor)
            ) as p (number, kind, minor)
        where o.tenant_id = tenant.tenant_id and (p.kind = 'sale' or p.minor > 0);

        create table fulfillment as
        select
            o.id,
            o.id as order_id,
            'success' as status,
            o.created_at + interval '1 day' as created_at
        from "order" as o;
    end loop;
end
$$
