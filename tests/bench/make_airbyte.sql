-- The same orders as Airbyte's Shopify source loads them: two tables per tenant, in the schemas of
-- make_fivetran, with lines, refunds and fulfilments as JSON in the order.
do $$
declare
    tenant record;
begin
    for tenant in select tenant_id, 'landed_' || name as schema_name from app.tenants loop
        execute format('create schema if not exists %I', tenant.schema_name);
        perform set_config('search_path', quote_ident(tenant.schema_name), true);

        create table customers as
        select
            c.customer_id::bigint as id,
            split_part(c.display_name, ' ', 1) as first_name,
            split_part(c.display_name, ' ', 2) as last_name,
            c.email,
            null::text as phone,
            '{"state": "subscribed"}'::jsonb as email_marketing_consent,
            case when c.customer_id::bigint % 10 = 0 then 'newsletter' else '' end as tags,
            c.shopify_updated_at as created_at,
            c.shopify_updated_at as updated_at,
            now() as _airbyte_extracted_at
        from shopify.customers as c
        where c.tenant_id = tenant.tenant_id;

        create table orders as
        select
            o.order_id::bigint as id,
            o.order_number as name,
            jsonb_build_object('id', c.id, 'email', c.email, 'first_name', c.first_name) as customer,
            o.customer_email as email,
            o.processed_at as created_at,
            o.processed_at,
            null::timestamptz as cancelled_at,
            o.shopify_updated_at as updated_at,
            null::timestamptz as deleted_at,
            false as test,
            o.currency,
            o.total_minor / 100::numeric as total_price,
            null::jsonb as total_price_set,
            o.subtotal_minor / 100::numeric as subtotal_price,
            o.current_total_minor / 100::numeric as current_total_price,
            o.current_subtotal_minor / 100::numeric as current_subtotal_price,
            lower(o.financial_status) as financial_status,
            lower(o.fulfillment_status) as fulfillment_status,
            o.channel as source_name,
            null::bigint as app_id,
            array_to_string(o.tags, ', ') as tags,
            o.note,
            lines.line_items,
            jsonb_build_array(
                jsonb_build_object(
                    'status', 'success', 'created_at', o.processed_at + interval '1 day'
                )
            ) as fulfillments,
            case
                when o.refunded_minor = 0 then '[]'
                else jsonb_build_array(
                    jsonb_build_object(
                        'transactions',
                        jsonb_build_array(
                            jsonb_build_object(
                                'kind', 'refund', 'status', 'success', 'currency', o.currency,
                                'amount', (o.refunded_minor / 100::numeric)::text
                            )
                        )
                    )
                )
            end as refunds,
            now() as _airbyte_extracted_at,
            '{"changes": []}'::jsonb as _airbyte_meta
        from shopify.orders as o
        inner join customers as c on o.customer_id::bigint = c.id
        cross join
            lateral (
                select
                    jsonb_agg(
                        jsonb_build_object(
                            'title', 'Trail Bottle', 'variant_title', 'Blue', 'sku', 'TB-' || n,
                            'quantity', 1, 'price',
                            (o.total_minor / 100::numeric / (1 + o.order_id::bigint % 2))::text
                        )
                    ) as line_items
                from generate_series(1, 1 + o.order_id::bigint % 2) as n
            ) as lines
        where o.tenant_id = tenant.tenant_id;
    end loop;
end
$$
