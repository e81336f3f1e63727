{%- if var('use_service_schemas') -%}
select
    tenant_id,
    creator_id,
    handle,
    platform,
    name as display_name,
    email,
    profile_url
from {{ source('app', 'creators') }}
{%- else -%}
select
    null::uuid as tenant_id,
    null::uuid as creator_id,
    null::text as handle,
    null::text as platform,
    null::text as display_name,
    null::text as email,
    null::text as profile_url
where false
{%- endif %}
