{% test unique_within_tenant(model, columns) %}

select
    tenant_id,
    {{ columns | join(',\n    ') }},
    count(*) as row_count
from {{ model }}
group by tenant_id, {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
