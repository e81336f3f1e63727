{{ config(enabled=var('use_service_schemas')) }}

select
    tenant_id,
    run_id,
    config_id,
    segment_key,
    list_id,
    list_name,
    direction,
    is_dry_run,
    state,
    stopped_for,
    counts,
    errors,
    calls,
    error,
    advice,
    requested_at,
    started_at,
    finished_at
from {{ source('app', 'klaviyo_sync_runs') }}
