-- name: export_person
-- What the loaded tables and the application's own hold about a person, as one document.
select
    jsonb_strip_nulls(
        jsonb_build_object(
            'shopify.customers',
            (
                select jsonb_agg(to_jsonb(c) - 'tenant_id' - 'landed_xid')
                from shopify.customers as c
                where c.tenant_id = %(tenant_id)s and c.customer_id = any(%(customer_ids)s)
            ),
            'shopify.orders',
            (
                select
                    jsonb_agg(
                        to_jsonb(o) - 'tenant_id' - 'landed_xid' order by o.processed_at, o.order_id
                    )
                from shopify.orders as o
                where o.tenant_id = %(tenant_id)s and o.order_id = any(%(order_ids)s)
            ),
            'shopify.segment_members',
            (
                select
                    jsonb_agg(
                        to_jsonb(m) - 'tenant_id' || jsonb_build_object('segment_name', s.name)
                    )
                from shopify.segment_members as m
                inner join shopify.cached_segments as s
                    on m.tenant_id = s.tenant_id and m.segment_id = s.segment_id
                where m.tenant_id = %(tenant_id)s and m.customer_id = any(%(customer_ids)s)
            ),
            'shopify.segment_changes',
            (
                select
                    jsonb_agg(
                        to_jsonb(c) - 'tenant_id' - 'landed_xid'
                        order by c.changed_at, c.segment_id
                    )
                from shopify.segment_changes as c
                where c.tenant_id = %(tenant_id)s and c.customer_id = any(%(customer_ids)s)
            ),
            'shopify.segment_confirmations',
            (
                select
                    jsonb_agg(
                        to_jsonb(c) - 'tenant_id'
                        order by c.confirmed_at, c.segment_id
                    )
                from shopify.segment_confirmations as c
                where c.tenant_id = %(tenant_id)s and c.customer_id = any(%(customer_ids)s)
            ),
            'shopify.rejected_rows',
            (
                select jsonb_agg(to_jsonb(r) - 'tenant_id')
                from shopify.rejected_rows as r
                where
                    r.tenant_id = %(tenant_id)s
                    and (
                        (r.entity = 'order' and r.source_id = any(%(order_ids)s))
                        or (r.entity = 'customer' and r.source_id = any(%(customer_ids)s))
                        or app.mentions(
                            r.payload, %(customer_ids)s, %(emails)s, %(phones)s
                        )
                    )
            ),
            'shopify.rereads',
            (
                select jsonb_agg(to_jsonb(d) - 'tenant_id')
                from shopify.rereads as d
                where
                    d.tenant_id = %(tenant_id)s
                    and (
                        (d.entity = 'order' and d.source_id = any(%(order_ids)s))
                        or (d.entity = 'customer' and d.source_id = any(%(customer_ids)s))
                    )
            ),
            'app.klaviyo_ledger',
            (
                select jsonb_agg(to_jsonb(k) - 'tenant_id')
                from app.klaviyo_ledger as k
                where
                    k.tenant_id = %(tenant_id)s
                    and (k.customer_id = any(%(customer_ids)s) or k.email = any(%(emails)s))
            ),
            'app.shopify_customer_metafields',
            (
                select jsonb_agg(to_jsonb(m) - 'tenant_id')
                from app.shopify_customer_metafields as m
                where m.tenant_id = %(tenant_id)s and m.customer_id = any(%(customer_ids)s)
            ),
            'app.shopify_metafield_changes',
            (
                select jsonb_agg(to_jsonb(m) - 'tenant_id')
                from app.shopify_metafield_changes as m
                where m.tenant_id = %(tenant_id)s and m.customer_id = any(%(customer_ids)s)
            ),
            'app.klaviyo_list_profiles',
            (
                select jsonb_agg(to_jsonb(k) - 'tenant_id')
                from app.klaviyo_list_profiles as k
                where k.tenant_id = %(tenant_id)s and k.email = any(%(emails)s)
            ),
            'app.klaviyo_list_changes',
            (
                select jsonb_agg(to_jsonb(k) - 'tenant_id' - 'landed_xid' order by k.changed_at)
                from app.klaviyo_list_changes as k
                where
                    k.tenant_id = %(tenant_id)s
                    and (
                        k.email = any(%(emails)s)
                        -- A profile's address may have changed since.
                        or k.profile_id in (
                            select p.profile_id from app.klaviyo_list_profiles as p
                            where p.tenant_id = %(tenant_id)s and p.email = any(%(emails)s)
                            union all
                            select h.profile_id from app.klaviyo_list_changes as h
                            where h.tenant_id = %(tenant_id)s and h.email = any(%(emails)s)
                        )
                    )
            ),
            'app.klaviyo_profiles',
            (
                select jsonb_agg(to_jsonb(k) - 'tenant_id')
                from app.klaviyo_profiles as k
                where k.tenant_id = %(tenant_id)s and k.email = any(%(emails)s)
            ),
            'app.klaviyo_events',
            (
                select jsonb_agg(to_jsonb(k) - 'tenant_id')
                from app.klaviyo_events as k
                where k.tenant_id = %(tenant_id)s and k.email = any(%(emails)s)
            ),
            'app.klaviyo_sync_runs',
            (
                select
                    jsonb_agg(
                        jsonb_build_object(
                            'run_id', k.run_id,
                            'segment_key', k.segment_key,
                            'list_id', k.list_id,
                            'requested_at', k.requested_at,
                            'example', x.example
                        )
                    )
                from app.klaviyo_sync_runs as k
                cross join lateral jsonb_path_query(k.plan, '$.*.examples[*]') as x (example)
                where
                    k.tenant_id = %(tenant_id)s
                    and app.mentions(x.example, %(customer_ids)s, %(emails)s)
            ),
            'app.promo_code_targets',
            (
                select
                    jsonb_agg(
                        jsonb_build_object(
                            'code', p.code,
                            'title', p.title,
                            'customer_id', t.target_id,
                            'state', t.state,
                            'added_at', t.added_at,
                            'accepted_at', t.accepted_at
                        )
                    )
                from app.promo_code_targets as t
                inner join app.promo_codes as p
                    on t.tenant_id = p.tenant_id and t.promo_code_id = p.promo_code_id
                where
                    t.tenant_id = %(tenant_id)s
                    and t.kind = 'customer'
                    and t.target_id = any(%(customer_ids)s)
            ),
            'app.promo_code_target_changes',
            (
                select
                    jsonb_agg(
                        jsonb_build_object(
                            'code', p.code,
                            'customer_id', h.target_id,
                            'change', h.change,
                            'changed_at', h.changed_at
                        )
                        order by h.changed_at
                    )
                from app.promo_code_target_changes as h
                inner join app.promo_codes as p
                    on h.tenant_id = p.tenant_id and h.promo_code_id = p.promo_code_id
                where
                    h.tenant_id = %(tenant_id)s
                    and h.kind = 'customer'
                    and h.target_id = any(%(customer_ids)s)
            ),
            'app.creators',
            (
                select
                    jsonb_agg(
                        to_jsonb(c) - 'tenant_id' || jsonb_build_object(
                            'aliases',
                            array(
                                select a.alias
                                from app.creator_aliases as a
                                where
                                    a.tenant_id = %(tenant_id)s
                                    and a.creator_id = c.creator_id
                                order by a.alias
                            )
                        )
                    )
                from app.creators as c
                where c.tenant_id = %(tenant_id)s and c.creator_id = any(%(creator_ids)s::uuid[])
            ),
            'app.sample_creator_links',
            (
                select jsonb_agg(to_jsonb(l) - 'tenant_id')
                from app.sample_creator_links as l
                where l.tenant_id = %(tenant_id)s and l.order_id = any(%(order_ids)s)
            ),
            'app.sample_decisions',
            (
                select jsonb_agg(to_jsonb(d) - 'tenant_id')
                from app.sample_decisions as d
                where d.tenant_id = %(tenant_id)s and d.order_id = any(%(order_ids)s)
            ),
            'app.rfm_settings',
            (
                select jsonb_agg(jsonb_build_object('excluded_customer_id', e.customer_id))
                from app.rfm_settings as s
                cross join lateral unnest(s.excluded_customer_ids) as e (customer_id)
                where s.tenant_id = %(tenant_id)s and e.customer_id = any(%(customer_ids)s)
            )
        )
    ) as held;
