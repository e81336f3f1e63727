{{ config(enabled=var('use_service_schemas')) }}

select
    tenant_id,
    list_id,
    profile_id,
    email,
    joined_at
from {{ source('app', 'klaviyo_list_profiles') }}
