{{ config(enabled=var('use_service_schemas')) }}

with

sync_runs as (
    select * from {{ ref('stg_app__klaviyo_sync_runs') }}
),

runs as (
    select * from {{ ref('stg_app__runs') }}
),

final as (
    select
        -- ids
        s.tenant_id,
        s.run_id,
        s.config_id,
        s.list_id,

        -- text
        s.segment_key,
        s.list_name,
        s.direction,
        r.trigger,
        s.state,
        s.stopped_for,
        s.error,
        s.advice,

        -- numbers
        coalesce((s.counts ->> 'added')::bigint, 0) as added,
        coalesce((s.counts ->> 'removed')::bigint, 0) as removed,
        coalesce((s.counts ->> 'updated')::bigint, 0) as updated,
        coalesce((s.counts ->> 'rejected')::bigint, 0) as rejected,
        coalesce((s.counts ->> 'skipped')::bigint, 0) as skipped,
        s.calls,
        extract(epoch from s.finished_at - s.started_at)::numeric(12, 1) as duration_seconds,
        s.counts,
        s.errors,

        -- booleans
        s.is_dry_run,

        -- timestamps
        s.requested_at,
        s.started_at,
        s.finished_at
    from sync_runs as s
    inner join runs as r on s.tenant_id = r.tenant_id and s.run_id = r.run_id
)

select * from final
