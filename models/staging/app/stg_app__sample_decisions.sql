{%- if var('use_service_schemas') -%}
select
    tenant_id,
    order_id,
    decision
from {{ source('app', 'sample_decisions') }}
{%- else -%}
select
    null::uuid as tenant_id,
    null::text as order_id,
    null::text as decision
where false
{%- endif %}
