-- name: demo_outcome
-- The result for one tenant that `make demo ONCE=1` prints.
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
        from marts.rfm_segment_definitions as s
        left join (
            select
                r.segment,
                count(*) as customers
            from marts.customer_rfm_segments as r
            where r.tenant_id = %(tenant_id)s
            group by r.segment
        ) as c on s.segment = c.segment
        where s.tenant_id = %(tenant_id)s
    ) as segments,
    (
        select
            json_build_object(
                'ugc', count(*) filter (where o.is_ugc),
                'tiktok', count(*) filter (where o.is_tiktok)
            )
        from marts.sample_orders as o
        where o.tenant_id = %(tenant_id)s
    ) as samples;

-- name: exclude_demo_customer
-- Exclude the customer from RFM to which the demo's TikTok connector assigns orders, as
-- `quintile tenants set NAME --exclude-customer ID` does.
update app.rfm_settings
set
    excluded_customer_ids = array(
        select c.customer_id
        from shopify.customers as c
        where
            c.tenant_id = %(tenant_id)s
            and c.display_name = 'TikTok Default Customer'
        order by c.customer_id
    )
where tenant_id = %(tenant_id)s;

-- name: add_demo_creators
-- Add the creators whose handles the demo's orders have as tags: all but every fourth, so that
-- samples without a creator remain. The build finds their samples.
insert into app.creators (tenant_id, handle, platform, name, email)
select
    %(tenant_id)s,
    t.handle,
    (array['instagram', 'tiktok', 'youtube'])[1 + mod(t.position, 3)],
    t.name,
    t.email
from (
    select
        lower(substr(g.tag, 2)) as handle,
        min(c.display_name) as name,
        min(c.email) as email,
        row_number() over (order by lower(substr(g.tag, 2))) as position
    from shopify.orders as o
    cross join lateral unnest(o.tags) as g (tag)
    left join shopify.customers as c
        on c.tenant_id = %(tenant_id)s and o.customer_id = c.customer_id
    where o.tenant_id = %(tenant_id)s and g.tag ~ '^@[^@\s/]+$'
    group by lower(substr(g.tag, 2))
) as t
where mod(t.position, 4) > 0
on conflict do nothing;

-- name: delete_demo_flow_list
-- Delete the demo's second synced list with all that belongs to it.
delete from app.klaviyo_sync_configs
where tenant_id = %(tenant_id)s and segment_key = 'rfm:at_risk';

-- name: delete_demo_lists
-- Delete the records of synced lists. The demo keeps its database, but each start has a new, empty
-- Klaviyo account, where all known members would look like removed by a person.
with ledger as (
    delete from app.klaviyo_ledger
    where tenant_id = %(tenant_id)s
),

lists as (
    delete from app.klaviyo_lists
    where tenant_id = %(tenant_id)s
),

profiles as (
    delete from app.klaviyo_profiles
    where tenant_id = %(tenant_id)s
),

events as (
    delete from app.klaviyo_events
    where tenant_id = %(tenant_id)s
)

update app.klaviyo_sync_configs
set first_synced_at = null
where tenant_id = %(tenant_id)s;

-- name: delete_demo_promo_codes
-- Delete the promo codes. Each start of the demo has a new Shopify, which has none.
delete from app.promo_codes
where tenant_id = %(tenant_id)s;
