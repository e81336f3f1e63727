{{ config(enabled=var('use_service_schemas')) }}

select
    tenant_id,
    run_id,
    kind,
    trigger,
    state,
    created_at
from {{ source('app', 'runs') }}
