-- What the main job left for one tenant, as `make demo ONCE=1` prints it.
select
    (
        select count(*) from shopify.orders
        where tenant_id = %(tenant_id)s and deleted_at is null
    ) as orders,
    (
        select count(*) from shopify.customers
        where tenant_id = %(tenant_id)s and deleted_at is null
    ) as customers,
    (
        select json_object_agg(s.segment, coalesce(c.customers, 0) order by s.priority)
        from marts.rfm_segments as s
        left join (
            select
                r.segment,
                count(*) as customers
            from marts.customer_rfm_segments as r
            where r.tenant_id = %(tenant_id)s
            group by r.segment
        ) as c on s.segment = c.segment
    ) as segments,
    (
        select
            json_build_object(
                'ugc', count(*) filter (where o.is_ugc),
                'tiktok', count(*) filter (where o.is_tiktok)
            )
        from marts.sample_orders as o
        where o.tenant_id = %(tenant_id)s
    ) as samples
