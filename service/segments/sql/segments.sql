-- name: find_segment
-- The name of a Shopify segment or pulled list, and whether it was deleted; no row if there never
-- was one.
select
    c.name,
    c.gone_at is not null as is_deleted
from shopify.cached_segments as c
where
    %(source)s = 'shopify'
    and c.tenant_id = %(tenant_id)s
    and c.segment_id = %(key)s

union all

select
    coalesce(l.name, c.list_name) as name,
    l.gone_at is not null or c.list_name is null as is_deleted
from (select %(key)s as list_id where %(source)s = 'klaviyo') as k
left join app.klaviyo_lists as l
    on l.tenant_id = %(tenant_id)s and k.list_id = l.list_id
left join lateral (
    select p.list_name
    from app.klaviyo_sync_configs as p
    where
        p.tenant_id = %(tenant_id)s
        and p.list_id = k.list_id
        and p.direction in ('pull', 'bidirectional')
    order by p.config_id
    limit 1
) as c on true
where l.list_id is not null or c.list_name is not null;

-- name: record_size
-- Records a segment's size on the day of a sync, in the tenant's time zone.
insert into app.segment_sizes as s (tenant_id, segment_id, recorded_on, members)
select
    t.tenant_id,
    %(segment_id)s,
    (%(at)s::timestamptz at time zone t.time_zone)::date,
    %(members)s
from app.tenants as t
where t.tenant_id = %(tenant_id)s
on conflict (tenant_id, segment_id, recorded_on) do update set
    members = excluded.members
where s.tenant_id = %(tenant_id)s and s.members <> excluded.members;

-- name: record_list_size
-- Records how many profiles a list has today, in the tenant's time zone.
insert into app.segment_sizes as s (tenant_id, segment_id, recorded_on, members)
select
    t.tenant_id,
    'klaviyo:' || %(list_id)s,
    (now() at time zone t.time_zone)::date,
    (
        select count(*)
        from app.klaviyo_members as p
        where p.tenant_id = %(tenant_id)s and p.list_id = %(list_id)s
    )
from app.tenants as t
where t.tenant_id = %(tenant_id)s
on conflict (tenant_id, segment_id, recorded_on) do update set
    members = excluded.members
where s.tenant_id = %(tenant_id)s and s.members <> excluded.members;

-- name: purge_changes
-- Deletes old changes of Shopify segments.
delete from shopify.segment_changes
where tenant_id = %(tenant_id)s and changed_at < now() - make_interval(days => %(days)s);
