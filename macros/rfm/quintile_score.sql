{% macro cut_values(metric, direction) -%}
    percentile_disc(array[0.2, 0.4, 0.6, 0.8]) within group (order by {{ metric }} {{ direction }})
{%- endmacro %}


{% macro score_above(metric, cuts) -%}
    (
        1
        {%- for k in range(1, 5) %}
        + ({{ metric }} > {{ cuts }}[{{ k }}])::int
        {%- endfor %}
    )::smallint
{%- endmacro %}


{% macro score_below(metric, cuts) -%}
    (
        5
        {%- for k in range(1, 5) %}
        - ({{ metric }} < {{ cuts }}[{{ k }}])::int
        {%- endfor %}
    )::smallint
{%- endmacro %}


{# Whether an existing score still equals the score by the macros above; true if it is null. #}
{% macro equals_score_above(score, metric, cuts) -%}
    (
            coalesce({{ metric }} > {{ cuts }}[{{ score }} - 1], true)
            and coalesce({{ metric }} <= {{ cuts }}[{{ score }}], true)
        )
{%- endmacro %}


{% macro equals_score_below(score, metric, cuts) -%}
    (
            coalesce({{ metric }} < {{ cuts }}[5 - {{ score }}], true)
            and coalesce({{ metric }} >= {{ cuts }}[6 - {{ score }}], true)
        )
{%- endmacro %}
