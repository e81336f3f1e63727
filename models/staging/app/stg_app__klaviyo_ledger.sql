{{ config(enabled=var('use_service_schemas')) }}

select
    tenant_id,
    config_id,
    email,
    customer_id,
    profile_id,
    state,
    is_member,
    error_code,
    error_detail,
    changed_at
from {{ source('app', 'klaviyo_ledger') }}
