{#
    Cells of an installer's seed that cannot be read: a number out of range, a time zone that does
    not exist, a list without its braces. Such a cell has the default, which the model has as null
    or as `fallback`, and a row without a readable tenant_id is left out. Constraints refuse both
    in the service's schema.
#}
{% test cells_can_be_read(model, seed, columns, fallback=none) %}

{%- set cells = overridable_seed(seed) %}

{%- for column in columns %}
{%- set cell = column_or_null(column, 'text', cells) %}
select
    s.tenant_id::text as tenant_id,
    '{{ column }}' as setting,
    {{ 's.' ~ cell if cell == column else cell }}::text as cell
from {{ cells }} as s
where
    btrim({{ 's.' ~ cell if cell == column else cell }}::text) <> ''
    {%- if fallback %}
    and lower(btrim(s.{{ column }}::text)) <> lower('{{ fallback }}')
    {%- endif %}
    and not exists (
        select from {{ model }} as b
        where
            b.tenant_id = {{ uuid_or_null('s.tenant_id::text') }}
            and {{ "nullif(b." ~ column ~ ", '" ~ fallback ~ "')" if fallback else 'b.' ~ column }}
            is not null
    )
{{ 'union all' if not loop.last }}
{%- endfor %}

{% endtest %}
