{{ config(enabled=var('use_service_schemas')) }}

select
    tenant_id,
    config_id,
    segment_key,
    list_id,
    list_name,
    direction,
    is_paused,
    last_synced_at
from {{ source('app', 'klaviyo_sync_configs') }}
