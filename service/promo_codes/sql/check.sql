-- name: find_code
-- A promo code by its code, with what decides whether anybody may use it.
select
    promo_code_id,
    segments,
    excluded_segments,
    wanted,
    requests_done,
    discount_id,
    is_ended,
    problem,
    starts_at,
    ends_at
from app.promo_codes
where tenant_id = %(tenant_id)s and lower(code) = lower(%(code)s);

-- name: find_customers_by_email
-- The customers who have an address, as the store spells it or in lower case. Only one has it in
-- Shopify.
select c.customer_id
from shopify.customers as c
where
    c.tenant_id = %(tenant_id)s
    and c.email = any(array[%(email)s, lower(%(email)s)])
    and c.deleted_at is null;

-- name: find_customer_by_id
-- The customer with an id, also one who is only in orders; no row if there is none.
select coalesce(c.customer_id, f.customer_id) as customer_id
from (select %(customer_id)s::text as customer_id) as g
left join shopify.customers as c
    on
        c.tenant_id = %(tenant_id)s
        and c.customer_id = %(customer_id)s
        and c.deleted_at is null
left join marts.customer_facts as f
    on f.tenant_id = %(tenant_id)s and f.customer_id = %(customer_id)s
where c.customer_id is not null or f.customer_id is not null;

-- name: check_customer
-- Which of a code's segments a customer is in, and what Shopify has accepted of the customer and of
-- these segments. Each part is a look-up in an index. A list's profile is every customer with its
-- address, as in the plan.
select
    array(
        select 'rfm:' || f.segment
        from marts.customer_facts as f
        where
            f.tenant_id = %(tenant_id)s
            and f.customer_id = any(%(customer_ids)s::text[])
            and f.segment = any(%(rfm)s::text[])
        union
        select 'shopify:' || m.segment_id
        from shopify.segment_members as m
        where
            m.tenant_id = %(tenant_id)s
            and m.segment_id = any(%(shopify)s::text[])
            and m.customer_id = any(%(customer_ids)s::text[])
        union
        select 'klaviyo:' || m.list_id
        from app.klaviyo_members as m
        where
            m.tenant_id = %(tenant_id)s
            and m.list_id = any(%(klaviyo)s::text[])
            and m.email in (
                select lower(app.clean_address(a.email)) as email
                from (
                    select f.email
                    from marts.customer_facts as f
                    where
                        f.tenant_id = %(tenant_id)s
                        and f.customer_id = any(%(customer_ids)s::text[])
                    union all
                    select c.email
                    from shopify.customers as c
                    where
                        c.tenant_id = %(tenant_id)s
                        and c.customer_id = any(%(customer_ids)s::text[])
                    union all
                    select g.email
                    from shopify.cached_segments as s
                    inner join shopify.segment_members as g
                        on
                            g.tenant_id = %(tenant_id)s
                            and s.segment_id = g.segment_id
                            and g.customer_id = any(%(customer_ids)s::text[])
                    where s.tenant_id = %(tenant_id)s
                ) as a
            )
    ) as segments,
    (
        select min(t.state)
        from app.promo_code_targets as t
        where
            t.tenant_id = %(tenant_id)s
            and t.promo_code_id = %(promo_code_id)s
            and t.kind = 'customer'
            and t.target_id = any(%(customer_ids)s::text[])
    ) as target_state,
    array(
        select 'shopify:' || t.target_id
        from app.promo_code_targets as t
        where
            t.tenant_id = %(tenant_id)s
            and t.promo_code_id = %(promo_code_id)s
            and t.kind = 'segment'
            and t.state = 'accepted'
            and t.target_id = any(%(shopify)s::text[])
    ) as accepted_segments;
