-- name: find_segment
-- The name of a Shopify segment or pulled list, whether it was deleted, and whether it is listed: a
-- list that is pulled no longer is not. No row if there never was one.
select
    c.name,
    c.gone_at is not null as is_deleted,
    true as is_listed
from shopify.cached_segments as c
where
    %(source)s = 'shopify'
    and c.tenant_id = %(tenant_id)s
    and c.segment_id = %(key)s

union all

select
    coalesce(l.name, c.list_name) as name,
    l.gone_at is not null or c.list_name is null as is_deleted,
    c.list_name is not null as is_listed
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
-- Records a segment's size on the day of a reading, in the tenant's time zone, with its size at the
-- reading before. Recording a reading again changes nothing.
insert into app.segment_sizes as s (
    tenant_id, segment_id, recorded_on, members, emailable, read_at, previous_members
)
with today as (
    select (%(read_at)s::timestamptz at time zone t.time_zone)::date as recorded_on
    from app.tenants as t
    where t.tenant_id = %(tenant_id)s
)

select
    %(tenant_id)s,
    %(segment_id)s,
    d.recorded_on,
    %(members)s,
    %(emailable)s,
    %(read_at)s,
    (
        select p.members
        from app.segment_sizes as p
        where
            p.tenant_id = %(tenant_id)s
            and p.segment_id = %(segment_id)s
            and p.recorded_on < d.recorded_on
        order by p.recorded_on desc
        limit 1
    ) as previous_members
from today as d
on conflict (tenant_id, segment_id, recorded_on) do update set
    members = excluded.members,
    emailable = excluded.emailable,
    read_at = excluded.read_at,
    previous_members = s.members
where s.tenant_id = %(tenant_id)s and s.read_at is distinct from excluded.read_at;

-- name: count_emailable
-- The members of a Shopify segment with an address who accept e-mail marketing.
select count(*) as emailable
from shopify.segment_members as m
where
    m.tenant_id = %(tenant_id)s
    and m.segment_id = %(key)s
    and m.marketing_state = 'SUBSCRIBED'
    and m.email is not null;

-- name: count_list_members
-- How many profiles a list has.
select count(*) as members
from app.klaviyo_members as p
where p.tenant_id = %(tenant_id)s and p.list_id = %(list_id)s;

-- name: purge_list_changes
-- Deletes old changes of pulled lists.
delete from app.klaviyo_list_changes
where tenant_id = %(tenant_id)s and changed_at < now() - make_interval(days => %(days)s);

-- name: purge_changes
-- Deletes old changes of Shopify segments.
delete from shopify.segment_changes
where tenant_id = %(tenant_id)s and changed_at < now() - make_interval(days => %(days)s);
