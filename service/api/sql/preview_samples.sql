-- name: preview_samples
-- The effect of the previewed settings: counts, and ten examples each of orders that become samples
-- and of orders that stop being samples, newest first. Each side is read once.
with proposed as materialized (
    select
        order_id,
        is_ugc,
        is_tiktok,
        matched_tags,
        matched_patterns
    from marts.sample_preview
    where tenant_id = %(tenant_id)s
),

current as materialized (
    select
        order_id,
        order_number,
        customer_name,
        ordered_at,
        is_ugc,
        is_tiktok,
        matched_tags,
        matched_patterns
    from marts.sample_orders
    where tenant_id = %(tenant_id)s
),

entering as materialized (
    select
        o.order_id,
        o.order_number,
        o.customer_name,
        o.processed_at as ordered_at,
        p.is_ugc,
        p.is_tiktok,
        p.matched_tags,
        p.matched_patterns
    from proposed as p
    inner join shopify.orders as o on o.tenant_id = %(tenant_id)s and p.order_id = o.order_id
    where not exists (select from current as c where c.order_id = p.order_id)
),

leaving as materialized (
    select *
    from current as c
    where not exists (select from proposed as p where p.order_id = c.order_id)
),

examples as (
    (
        select
            'entering' as side,
            e.*
        from entering as e
        order by e.ordered_at desc, e.order_id desc
        limit 10
    )

    union all

    (
        select
            'leaving' as side,
            l.*
        from leaving as l
        order by l.ordered_at desc, l.order_id desc
        limit 10
    )
),

described as (
    select
        side,
        jsonb_agg(
            jsonb_build_object(
                'order_id', order_id,
                'order_number', order_number,
                'customer_name', customer_name,
                'ordered_at', ordered_at,
                'types', array_remove(
                    array[case when is_ugc then 'ugc' end, case when is_tiktok then 'tiktok' end],
                    null
                ),
                'matched_tags', matched_tags,
                'matched_patterns', matched_patterns
            )
            order by ordered_at desc, order_id desc
        ) as orders
    from examples
    group by side
)

select
    (select count(*) from current) as current_count,
    (select count(*) from proposed) as proposed_count,
    (select count(*) from entering) as entering_count,
    (select count(*) from leaving) as leaving_count,
    coalesce((select orders from described where side = 'entering'), '[]') as entering,
    coalesce((select orders from described where side = 'leaving'), '[]') as leaving;
