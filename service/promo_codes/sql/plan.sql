-- name: create_planned
-- The targets that a promo code should have; those that are not reachable are no customers in
-- Shopify.
create temporary table promo_planned (
    target_id text primary key,
    is_reachable boolean not null
) on commit drop;

-- name: plan_segments
-- Shopify's segments as targets.
insert into pg_temp.promo_planned (target_id, is_reachable)
select
    s.segment_id,
    true
from (select distinct unnest(%(shopify)s::text[]) as segment_id) as s;

-- name: plan_customers
-- The members of any of the included segments and of none of the excluded ones, as targets. A
-- list's profile is every customer with its address, be it the one of the last build, of the last
-- sync, or of a segment's member who has not been loaded yet. A customer of an imported file, or
-- one who is known by an address or phone number only, is no customer in Shopify.
insert into pg_temp.promo_planned (target_id, is_reachable)
with addresses as (
    select
        f.customer_id,
        f.email,
        false as is_shopify
    from marts.customer_facts as f
    where f.tenant_id = %(tenant_id)s
    union all
    select
        c.customer_id,
        c.email,
        false as is_shopify
    from shopify.customers as c
    where c.tenant_id = %(tenant_id)s
    union all
    select
        m.customer_id,
        m.email,
        true as is_shopify
    from shopify.segment_members as m
    where m.tenant_id = %(tenant_id)s
),

listed as (
    select
        p.list_id,
        a.customer_id,
        a.is_shopify
    from app.klaviyo_members as p
    inner join addresses as a on lower(app.clean_address(a.email)) = p.email
    where
        p.tenant_id = %(tenant_id)s
        and p.list_id = any(%(klaviyo)s::text[] || %(excluded_klaviyo)s::text[])
),

included as (
    select
        f.customer_id,
        false as is_shopify
    from marts.customer_facts as f
    where f.tenant_id = %(tenant_id)s and f.segment = any(%(rfm)s)
    union all
    select
        m.customer_id,
        true as is_shopify
    from shopify.segment_members as m
    where m.tenant_id = %(tenant_id)s and m.segment_id = any(%(shopify)s)
    union all
    select
        l.customer_id,
        l.is_shopify
    from listed as l
    where l.list_id = any(%(klaviyo)s)
),

excluded as (
    select f.customer_id
    from marts.customer_facts as f
    where f.tenant_id = %(tenant_id)s and f.segment = any(%(excluded_rfm)s)
    union all
    select m.customer_id
    from shopify.segment_members as m
    where m.tenant_id = %(tenant_id)s and m.segment_id = any(%(excluded_shopify)s)
    union all
    select l.customer_id
    from listed as l
    where l.list_id = any(%(excluded_klaviyo)s)
),

members as (
    select
        i.customer_id,
        bool_or(i.is_shopify) as is_shopify
    from included as i
    where not exists (select from excluded as x where x.customer_id = i.customer_id)
    group by i.customer_id
)

select
    m.customer_id,
    case
        when c.customer_id is null then m.is_shopify
        else c.deleted_at is null
    end
    and m.customer_id ~ '^[0-9]+$'
    and length(m.customer_id) <= 20 as is_reachable
from members as m
left join shopify.customers as c
    on c.tenant_id = %(tenant_id)s and m.customer_id = c.customer_id;

-- name: count_planned
-- How many of the planned targets can be used, and how many cannot.
select
    count(*) filter (where p.is_reachable) as members,
    count(*) filter (where not p.is_reachable) as unreachable
from pg_temp.promo_planned as p;

-- name: withdraw_targets
-- Targets that are not planned any more are to be removed, also those that may not have arrived.
update app.promo_code_targets as t
set state = 'removing'
where
    t.tenant_id = %(tenant_id)s
    and t.promo_code_id = %(promo_code_id)s
    and t.kind = %(kind)s
    and t.state in ('adding', 'accepted')
    and not exists (
        select from pg_temp.promo_planned as p
        where p.target_id = t.target_id and p.is_reachable
    );

-- name: forget_refused
-- Targets that Shopify did not know and that are not planned any more.
delete from app.promo_code_targets as t
where
    t.tenant_id = %(tenant_id)s
    and t.promo_code_id = %(promo_code_id)s
    and t.state = 'refused'
    and not exists (
        select from pg_temp.promo_planned as p
        where t.kind = %(kind)s and p.target_id = t.target_id and p.is_reachable
    );

-- name: add_targets
-- Targets that are planned and that Shopify does not have, or not for certain.
insert into app.promo_code_targets as t (tenant_id, promo_code_id, kind, target_id)
select
    %(tenant_id)s,
    %(promo_code_id)s,
    %(kind)s,
    p.target_id
from pg_temp.promo_planned as p
where p.is_reachable
on conflict (tenant_id, promo_code_id, kind, target_id) do update
    set state = 'adding'
    where t.state = 'removing';

-- name: count_held_back
-- Planned targets that Shopify does not have.
select count(*) as held_back
from pg_temp.promo_planned as p
where
    p.is_reachable
    and not exists (
        select from app.promo_code_targets as t
        where
            t.tenant_id = %(tenant_id)s
            and t.promo_code_id = %(promo_code_id)s
            and t.kind = %(kind)s
            and t.target_id = p.target_id
    );

-- name: record_plan
-- The counts of a plan.
update app.promo_codes
set
    members = %(members)s,
    unreachable = %(unreachable)s,
    held_back = %(held_back)s,
    planned_at = now()
where tenant_id = %(tenant_id)s and promo_code_id = %(promo_code_id)s;
