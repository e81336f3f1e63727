-- name: check_customer
-- Which of a code's segments a customer is in, and whether Shopify has the customer as a target.
-- Each part is a look-up in an index. customers is how many customers have the id or address; one
-- who is only in orders counts too.
with given as (
    select c.customer_id
    from shopify.customers as c
    where
        %(email)s::text is not null
        and c.tenant_id = %(tenant_id)s
        and c.email = any(array[%(email)s, lower(%(email)s)])
        and c.deleted_at is null
    union
    select %(customer_id)s::text as customer_id
    where %(customer_id)s::text is not null
),

known as (
    select
        g.customer_id,
        lower(app.clean_address(coalesce(c.email, f.email))) as email
    from given as g
    left join shopify.customers as c
        on c.tenant_id = %(tenant_id)s and g.customer_id = c.customer_id and c.deleted_at is null
    left join marts.customer_facts as f
        on f.tenant_id = %(tenant_id)s and g.customer_id = f.customer_id
    where c.customer_id is not null or f.customer_id is not null
),

memberships as (
    select 'rfm:' || f.segment as segment
    from known as k
    inner join marts.customer_facts as f
        on f.tenant_id = %(tenant_id)s and k.customer_id = f.customer_id
    where f.segment = any(%(rfm)s)
    union all
    select 'shopify:' || s.segment_id as segment
    from unnest(%(shopify)s::text[]) as s (segment_id)
    where
        exists (
            select from shopify.segment_members as m
            where
                m.tenant_id = %(tenant_id)s
                and m.segment_id = s.segment_id
                and m.customer_id in (select g.customer_id from given as g)
        )
    union all
    select 'klaviyo:' || l.list_id as segment
    from unnest(%(klaviyo)s::text[]) as l (list_id)
    where
        exists (
            select from app.klaviyo_members as m
            where
                m.tenant_id = %(tenant_id)s
                and m.list_id = l.list_id
                and m.email in (select k.email from known as k)
        )
)

select
    (select count(*) from known) as customers,
    array(
        select distinct m.segment
        from memberships as m
        order by m.segment
    ) as segments,
    (
        select t.state
        from app.promo_code_targets as t
        where
            t.tenant_id = %(tenant_id)s
            and t.promo_code_id = %(promo_code_id)s
            and t.kind = 'customer'
            and t.target_id in (select g.customer_id from given as g)
        order by t.state
        limit 1
    ) as target_state,
    array(
        select 'shopify:' || t.target_id
        from app.promo_code_targets as t
        where
            t.tenant_id = %(tenant_id)s
            and t.promo_code_id = %(promo_code_id)s
            and t.kind = 'segment'
            and t.state = 'accepted'
            and t.target_id = any(%(shopify)s)
    ) as accepted_segments;
