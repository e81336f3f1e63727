-- A list that a pulled list feeds as its segment, if nothing else pulls that list.
select c.list_name
from app.klaviyo_sync_configs as c
where
    c.tenant_id = %(tenant_id)s
    and c.segment_key = 'klaviyo:' || %(list_id)s
    and c.direction <> 'pull'
    and not exists (
        select from app.klaviyo_sync_configs as p
        where
            p.tenant_id = %(tenant_id)s
            and p.list_id = %(list_id)s
            and p.direction in ('pull', 'bidirectional')
            and p.config_id <> %(config_id)s
    )
order by c.created_at
limit 1
