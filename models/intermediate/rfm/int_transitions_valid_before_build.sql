{%- set transitions = previous_build_of('rfm_segment_transitions') -%}

with

windows as (
    select * from {{ ref('int_windows_built_for_rfm') }}
),

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

first_as_of_times as (
    select
        w.tenant_id,
        max(w.instants_back) as instants_back,
        min(w.as_of) as as_of
    from windows as w
    inner join tenants as t on w.tenant_id = t.tenant_id
    where w.is_recorded
    group by w.tenant_id
),

previous_rows as (
    {%- if transitions %}
    select t.* from {{ transitions }} as t
    where {{ tenant_filter('t.tenant_id') }}
    {%- else %}
    select
        null::uuid as tenant_id,
        null::text as customer_id,
        null::text as from_segment,
        null::text as to_segment,
        null::timestamptz as as_of,
        null::timestamptz as ended_as_of
    where false
    {%- endif %}
),

final as (
    select
        p.tenant_id,
        p.customer_id,
        f.instants_back,
        p.from_segment,
        p.to_segment,
        p.as_of,
        p.ended_as_of
    from previous_rows as p
    inner join first_as_of_times as f on p.tenant_id = f.tenant_id
    where p.as_of < f.as_of and (p.ended_as_of is null or p.ended_as_of >= f.as_of)
)

select * from final
