{{ config(enabled=var('source_layout') != 'native') }}

select
    null::uuid as tenant_id,
    null::text as entity,
    null::text as source_id,
    null::text as reason,
    null::jsonb as payload,
    null::timestamptz as rejected_at
where false
