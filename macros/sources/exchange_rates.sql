{% macro converts_currencies() -%}
    {{ return('exchange_rates_by_tenant' in var('own_seeds')) }}
{%- endmacro %}


{# A million times 10^12 fits a bigint. #}
{% macro orders_in_one_currency(orders) -%}
    {%- if not converts_currencies() -%}
        {{ return(orders) }}
    {%- endif -%}
    (
        select
            {%- for column in adapter.get_columns_in_relation(orders) | map(attribute='name') %}
            {%- if column == 'currency' %}
            coalesce(r.to_currency, o.currency) as currency
            {%- elif column == 'line_items' %}
            case
                when r.factor is null then o.line_items
                else {{ converted_lines('o.line_items', 'r.factor') }}
            end as line_items
            {%- elif column.endswith('_minor') %}
            round(o.{{ column }} * coalesce(r.factor, 1))::bigint as {{ column }}
            {%- else %}
            o.{{ column }}
            {%- endif %}{{ ',' if not loop.last }}
            {%- endfor %}
        from (select * from {{ orders }}) as o
        -- One index look-up per order; a join would compare it with every rate.
        left join lateral (
            select
                x.to_currency,
                x.factor
            from (select * from {{ ref('base_seeds__exchange_rates') }}) as x
            where
                x.tenant_id = o.tenant_id
                and x.from_currency = o.currency
                and x.starts_at <= o.processed_at
                and greatest(o.total_minor, o.subtotal_minor, o.refunded_minor) < 1e12
            order by x.starts_at desc, x.factor desc
            limit 1
        ) as r on true
    ) as orders_in_one_currency
{%- endmacro %}


{% macro converted_lines(line_items, factor) -%}
(
                    select coalesce(jsonb_agg(
                        l.line || jsonb_strip_nulls(jsonb_build_object(
                            {%- for amount in ['unit_price_minor', 'total_minor'] %}
                            '{{ amount }}',
                            case
                                when jsonb_typeof(l.line -> '{{ amount }}') = 'number'
                                    then round((l.line ->> '{{ amount }}')::numeric * {{ factor }})
                            end{{ ',' if not loop.last }}
                            {%- endfor %}
                        ))
                        order by l.ordinal
                    ), '[]')
                    from jsonb_path_query({{ line_items }}, '$[*] ? (@.type() == "object")')
                        with ordinality as l (line, ordinal)
                )
{%- endmacro %}
