-- name: add_creator
-- Create a creator.
insert into app.creators (tenant_id, handle, platform, name, email, profile_url, notes)
values (
    %(tenant_id)s, %(handle)s, %(platform)s, %(name)s, %(email)s, %(profile_url)s, %(notes)s
)
returning creator_id;

-- name: change_creator
-- Set all fields of a creator.
update app.creators
set
    handle = %(handle)s,
    platform = %(platform)s,
    name = %(name)s,
    email = %(email)s,
    profile_url = %(profile_url)s,
    notes = %(notes)s,
    updated_at = now()
where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s;

-- name: list_creators
-- A page of creators, sorted by name, with one extra row. Or one of them. Their samples are those
-- that list_sample_orders finds for them now; their own orders are as of the last build.
with linked as (
    select
        s.*,
        case when l.order_id is not null then l.creator_id else s.automatic_creator_id end
            as linked_creator_id
    from marts.sample_orders as s
    left join app.sample_creator_links as l
        on l.tenant_id = %(tenant_id)s and s.order_id = l.order_id
    where s.tenant_id = %(tenant_id)s and s.status <> 'cancelled'
),

samples as (
    select
        s.linked_creator_id as creator_id,
        count(*) as samples,
        count(*) filter (where s.status in ('partial', 'fulfilled')) as samples_sent,
        sum(s.goods_value) filter (
            where s.currency = coalesce(b.currency, s.currency)
        ) as goods_value,
        coalesce(min(b.currency), min(s.currency)) as currency,
        max(s.ordered_at) as last_sample_at,
        max(s.first_fulfilled_at) as last_sent_at
    from linked as s
    left join marts.rfm_builds as b on b.tenant_id = %(tenant_id)s
    group by s.linked_creator_id
)

select
    c.creator_id,
    c.handle,
    c.platform,
    c.name,
    c.email,
    c.profile_url,
    c.notes,
    coalesce(s.samples, 0) as samples,
    coalesce(s.samples_sent, 0) as samples_sent,
    s.goods_value,
    s.last_sample_at,
    s.last_sent_at,
    coalesce(m.own_orders, 0) as own_orders,
    m.own_orders_total,
    m.last_own_order_at,
    coalesce(m.currency, s.currency) as currency,
    array(
        select a.alias
        from app.creator_aliases as a
        where a.tenant_id = %(tenant_id)s and a.creator_id = c.creator_id
        order by a.alias
    ) as also_known_as,
    c.created_at,
    c.updated_at,
    coalesce(c.handle, lower(c.name), c.email) as sort_name
from app.creators as c
left join samples as s on c.creator_id = s.creator_id
left join marts.creators as m on m.tenant_id = %(tenant_id)s and c.creator_id = m.creator_id
where
    c.tenant_id = %(tenant_id)s
    and (%(creator_id)s::uuid is null or c.creator_id = %(creator_id)s)
    and (
        %(pattern)s::text is null
        or c.handle ilike %(pattern)s
        or c.name ilike %(pattern)s
        or c.email ilike %(pattern)s
    )
    and (
        %(after_sort_name)s::text is null
        or (coalesce(c.handle, lower(c.name), c.email), c.creator_id)
        > (%(after_sort_name)s, %(after_creator_id)s::uuid)
    )
order by coalesce(c.handle, lower(c.name), c.email), c.creator_id
limit %(row_limit)s;

-- name: delete_creator
-- Delete a creator and their links. The next build may find other creators for the orders.
delete from app.creators
where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s
returning creator_id;

-- name: lock_creator
-- The fields of a creator, locked until the transaction ends.
select
    handle,
    platform,
    name,
    email,
    profile_url,
    notes
from app.creators
where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s
for update;

-- name: merge_creators
-- Delete one creator, and fill the other's empty fields from it.
with merged as (
    delete from app.creators
    where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s
    returning handle, platform, name, email, profile_url, notes
)

update app.creators as t
set
    handle = coalesce(t.handle, g.handle),
    platform = case when t.handle is null then g.platform else t.platform end,
    name = coalesce(t.name, g.name),
    email = coalesce(t.email, g.email),
    profile_url = coalesce(t.profile_url, g.profile_url),
    notes = nullif(concat_ws(e'\n', t.notes, g.notes), ''),
    updated_at = now()
from merged as g
where t.tenant_id = %(tenant_id)s and t.creator_id = %(into_id)s;

-- name: merge_creator_aliases
-- Make the merged creator's handle, address and aliases find the remaining creator.
insert into app.creator_aliases as a (tenant_id, kind, alias, creator_id)
select
    %(tenant_id)s,
    k.kind,
    k.alias,
    %(into_id)s
from (
    select
        'handle' as kind,
        handle as alias
    from app.creators
    where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s and handle is not null

    union distinct

    select
        'email' as kind,
        email as alias
    from app.creators
    where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s and email is not null

    union distinct

    select
        kind,
        alias
    from app.creator_aliases
    where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s
) as k
on conflict (tenant_id, kind, alias) do update set creator_id = excluded.creator_id;

-- name: merge_creator_links
-- Move links that people set to the remaining creator.
update app.sample_creator_links
set creator_id = %(into_id)s
where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s;
