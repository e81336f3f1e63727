-- The configuration of a segment and a list.
select config_id
from app.klaviyo_sync_configs
where
    tenant_id = %(tenant_id)s
    and segment_key = %(segment_key)s
    and list_id = %(list_id)s
