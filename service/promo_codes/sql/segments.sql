-- name: list_targets_rfm
-- RFM segments as targets, as the last build counted them: size, members who are customers in
-- Shopify, and those who accept e-mail marketing. The mart of the release before lacks the latter
-- two, until the next build.
select
    'rfm:' || s.segment as id,
    s.label,
    'rfm' as source,
    coalesce(z.customers, 0) as size,
    case when z.segment is null then 0 else (to_jsonb(z) ->> 'reachable_customers')::int end
        as reachable,
    case when z.segment is null then 0 else (to_jsonb(z) ->> 'emailable_customers')::int end
        as emailable,
    b.as_of,
    false as is_deleted
from unnest(%(rfm_segments)s::text[], %(rfm_labels)s::text[]) as s (segment, label)
left join marts.rfm_builds as b
    on
        b.tenant_id = %(tenant_id)s
        -- A segment of a saved rule has no data before a build has applied the rule.
        and (
            exists (
                select from marts.rfm_segment_definitions as d
                where d.tenant_id = %(tenant_id)s and d.segment = s.segment
            )
            or not exists (
                select from marts.rfm_segment_definitions as d
                where d.tenant_id = %(tenant_id)s
            )
        )
left join marts.rfm_segment_summary as z on z.tenant_id = %(tenant_id)s and s.segment = z.segment;

-- name: list_target_names
-- Names of Shopify's own segments and of pulled lists, without counting their members.
select
    'shopify:' || s.segment_id as id,
    s.name as label,
    'shopify' as source
from shopify.cached_segments as s
where s.tenant_id = %(tenant_id)s

union all

select
    'klaviyo:' || p.list_id as id,
    min(coalesce(l.name, p.list_name)) as label,
    'klaviyo' as source
from app.klaviyo_sync_configs as p
left join app.klaviyo_lists as l on l.tenant_id = %(tenant_id)s and p.list_id = l.list_id
where p.tenant_id = %(tenant_id)s and p.direction in ('pull', 'bidirectional')
group by p.list_id
order by source, label, id;

-- name: list_not_built
-- Those of some RFM segments that no build has calculated.
select s.segment
from unnest(%(rfm)s::text[]) as s (segment)
where
    not exists (select from marts.rfm_builds as b where b.tenant_id = %(tenant_id)s)
    or (
        exists (
            select from marts.rfm_segment_definitions as d where d.tenant_id = %(tenant_id)s
        )
        and not exists (
            select from marts.rfm_segment_definitions as d
            where d.tenant_id = %(tenant_id)s and d.segment = s.segment
        )
    )
order by s.segment;

-- name: list_not_read
-- Those of some lists of which not all profiles have been read.
select k.list_id
from unnest(%(klaviyo)s::text[]) as k (list_id)
left join app.klaviyo_lists as l on l.tenant_id = %(tenant_id)s and k.list_id = l.list_id
where l.full_read_at is null
order by k.list_id;

-- name: list_targets_shopify
-- Shopify's own segments as targets. Those who accept e-mail marketing are counted by the sync, and
-- here only if it was one of a former release.
select
    'shopify:' || s.segment_id as id,
    s.name as label,
    'shopify' as source,
    s.member_count as size,
    s.member_count as reachable,
    coalesce(
        z.emailable,
        (
            select count(*)
            from shopify.segment_members as g
            where
                g.tenant_id = %(tenant_id)s
                and g.segment_id = s.segment_id
                and g.marketing_state = 'SUBSCRIBED'
                and g.email is not null
        )
    ) as emailable,
    s.synced_at as as_of,
    s.gone_at is not null as is_deleted
from shopify.cached_segments as s
left join lateral (
    select n.emailable
    from app.segment_sizes as n
    where n.tenant_id = %(tenant_id)s and n.segment_id = 'shopify:' || s.segment_id
    order by n.recorded_on desc
    limit 1
) as z on true
where s.tenant_id = %(tenant_id)s;

-- name: list_targets_klaviyo
-- Lists that are pulled as targets, as of their last sync. A profile is e-mailable if a customer
-- with its address accepts e-mail marketing.
with lists as (
    select distinct on (p.list_id)
        p.list_id,
        coalesce(l.name, p.list_name) as name,
        l.gone_at,
        l.full_read_at
    from app.klaviyo_sync_configs as p
    left join app.klaviyo_lists as l on l.tenant_id = %(tenant_id)s and p.list_id = l.list_id
    where p.tenant_id = %(tenant_id)s and p.direction in ('pull', 'bidirectional')
    order by p.list_id, p.created_at
),

members as (
    select
        m.list_id,
        m.email,
        count(c.customer_id) as customers,
        bool_or(coalesce(c.marketing_state = 'SUBSCRIBED', false)) as is_emailable
    from app.klaviyo_members as m
    left join shopify.customers as c
        on
            c.tenant_id = %(tenant_id)s
            and lower(app.clean_address(c.email)) = m.email
            and c.deleted_at is null
            and c.customer_id ~ '^[0-9]+$'
            and length(c.customer_id) <= 20
    where m.tenant_id = %(tenant_id)s
    group by m.list_id, m.email, m.profile_id
)

select
    'klaviyo:' || l.list_id as id,
    l.name as label,
    'klaviyo' as source,
    count(m.list_id) as size,
    coalesce(sum(m.customers), 0)::bigint as reachable,
    count(*) filter (where m.is_emailable) as emailable,
    l.full_read_at as as_of,
    l.gone_at is not null as is_deleted
from lists as l
left join members as m on l.list_id = m.list_id
group by l.list_id, l.name, l.full_read_at, l.gone_at;
