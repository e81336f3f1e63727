{% macro segment_of_scores(scored, segments) -%}
    {{ segments }}[25 * {{ scored }}.r_score + 5 * {{ scored }}.f_score + {{ scored }}.m_score - 30]
{%- endmacro %}
