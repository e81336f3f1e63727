{%- if var('use_service_schemas') -%}
select
    tenant_id,
    order_id,
    creator_id
from {{ source('app', 'sample_creator_links') }}
{%- else -%}
select
    null::uuid as tenant_id,
    null::text as order_id,
    null::uuid as creator_id
where false
{%- endif %}
