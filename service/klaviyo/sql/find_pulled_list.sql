-- The configuration that has a list here as a segment.
select config_id
from app.klaviyo_sync_configs
where
    tenant_id = %(tenant_id)s
    and list_id = %(list_id)s
    and direction in ('pull', 'bidirectional')
order by config_id
limit 1
