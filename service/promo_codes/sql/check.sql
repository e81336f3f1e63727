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

-- name: find_members_by_email
-- The customers who have an address in any case: loaded ones, and members of Shopify's segments who
-- have not been loaded yet.
select c.customer_id
from shopify.customers as c
where
    c.tenant_id = %(tenant_id)s
    and lower(c.email) = lower(%(email)s)
    and c.deleted_at is null
union
select m.customer_id
from shopify.segment_members as m
where m.tenant_id = %(tenant_id)s and lower(m.email) = lower(%(email)s);

-- name: find_built_customers_by_email
-- The customers of the last build who have an address, also those that only files know.
select f.customer_id
from marts.customer_facts as f
where f.tenant_id = %(tenant_id)s and lower(f.email) = lower(%(email)s);

-- name: find_built_customers
-- Customers as of the last build: their RFM segment, if they have one, and address.
select
    f.segment,
    f.email
from marts.customer_facts as f
where f.tenant_id = %(tenant_id)s and f.customer_id = any(%(customer_ids)s::text[]);

-- name: check_customer
-- Which of a code's segments a customer is in, whether they are a customer in Shopify, and what
-- Shopify has accepted of the customer and of these segments. Each part is a look-up in an index. A
-- list's profile is every customer with its address, as in the plan.
select
    array(
        select 'rfm:' || b.segment
        from unnest(%(built_segments)s::text[]) as b (segment)
        where b.segment = any(%(rfm)s::text[])
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
                    select b.email
                    from unnest(%(built_emails)s::text[]) as b (email)
                    union all
                    select c.email
                    from shopify.customers as c
                    where
                        c.tenant_id = %(tenant_id)s
                        and c.customer_id = any(%(customer_ids)s::text[])
                    union all
                    select g.email
                    from shopify.segment_members as g
                    where
                        g.tenant_id = %(tenant_id)s
                        and g.customer_id = any(%(customer_ids)s::text[])
                ) as a
            )
    ) as segments,
    exists(
        select
        from unnest(%(customer_ids)s::text[]) as i (customer_id)
        left join shopify.customers as c
            on c.tenant_id = %(tenant_id)s and i.customer_id = c.customer_id
        where
            i.customer_id ~ '^[0-9]+$'
            and length(i.customer_id) <= 20
            and case
                when c.customer_id is null
                    then exists (
                        select from shopify.segment_members as m
                        where m.tenant_id = %(tenant_id)s and m.customer_id = i.customer_id
                    )
                else c.deleted_at is null
            end
    ) as is_in_shopify,
    (
        select min(t.state)
        from app.promo_code_targets as t
        where
            t.tenant_id = %(tenant_id)s
            and t.promo_code_id = %(promo_code_id)s
            and t.kind = 'customer'
            and t.target_id = any(%(customer_ids)s::text[])
    ) as target_state,
    (
        select min(t.accepted_at)
        from app.promo_code_targets as t
        where
            t.tenant_id = %(tenant_id)s
            and t.promo_code_id = %(promo_code_id)s
            and t.kind = 'customer'
            and t.state in ('accepted', 'removing')
            and t.target_id = any(%(customer_ids)s::text[])
    ) as added_at,
    (
        select max(h.changed_at)
        from app.promo_code_target_changes as h
        where
            h.tenant_id = %(tenant_id)s
            and h.promo_code_id = %(promo_code_id)s
            and h.kind = 'customer'
            and h.change = 'removed'
            and h.target_id = any(%(customer_ids)s::text[])
    ) as removed_at,
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
