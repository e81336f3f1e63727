{{ config(enabled=var('source_layout') != 'native') }}

select
    null::uuid as tenant_id,
    null::text as segment_id,
    null::text as customer_id,
    null::text as email,
    null::text as display_name,
    null::text as marketing_state,
    null::timestamptz as entered_at,
    null::timestamptz as landed_at
where false
