-- Lists that are read here, by name, or one of them; one that several configurations read is one.
with readers as (
    select
        c.list_id,
        min(c.direction) as direction,
        max(c.last_synced_at) as synced_at,
        min(c.list_name) as name
    from app.klaviyo_sync_configs as c
    where c.tenant_id = %(tenant_id)s and c.direction in ('pull', 'bidirectional')
    group by c.list_id
),

sizes as (
    select
        p.list_id,
        count(*) as member_count
    from app.klaviyo_list_profiles as p
    where p.tenant_id = %(tenant_id)s
    group by p.list_id
)

select
    r.list_id as id,
    coalesce(l.name, r.name) as name,
    coalesce(s.member_count, 0) as member_count,
    r.direction,
    r.synced_at,
    l.full_read_at,
    l.gone_at
from readers as r
left join app.klaviyo_lists as l on l.tenant_id = %(tenant_id)s and r.list_id = l.list_id
left join sizes as s on r.list_id = s.list_id
where %(list_id)s::text is null or r.list_id = %(list_id)s
order by lower(coalesce(l.name, r.name)), r.list_id
