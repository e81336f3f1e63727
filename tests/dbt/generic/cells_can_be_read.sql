{#
    Cells of an installer's seed that cannot be read, such as a number out of range or a time zone
    that does not exist, and rows that the model leaves out: without a readable tenant_id, or one of
    several of a tenant. Constraints refuse them in the service's schema.
#}
{% test cells_can_be_read(model, seed, columns) %}

{%- set cells = overridable_seed(seed) %}

with

seed as (
    select * from {{ cells }}
),

read_rows as (
    select * from {{ model }}
),

seed_rows as (
    select
        s.*,
        s::text as seed_row,
        {{ uuid_or_null('s.tenant_id::text') }} as readable_id
    from seed as s
),

final as (
    select
        s.seed_row,
        'tenant_id' as cell,
        s.tenant_id::text as content
    from seed_rows as s
    where not exists (select from read_rows as m where m.tenant_id = s.readable_id)
    {%- for column in columns if column_or_null(column, 'text', cells) == column %}

    union all

    select
        s.seed_row,
        '{{ column }}' as cell,
        s.{{ column }}::text as content
    from seed_rows as s
    inner join read_rows as m on s.readable_id = m.tenant_id
    where btrim(s.{{ column }}::text) <> '' and m.{{ column }} is null
    {%- endfor %}
)

select * from final

{% endtest %}
