{{ config(enabled=var('source_layout') != 'native') }}

select
    null::uuid as tenant_id,
    null::text as segment_id,
    null::text as name,
    null::text as query,
    null::int as member_count,
    null::timestamptz as created_at,
    null::timestamptz as last_edited_at,
    null::timestamptz as synced_at,
    null::timestamptz as gone_at
where false
