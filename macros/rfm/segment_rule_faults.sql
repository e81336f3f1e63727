{#
    CTEs that check segment rules, the last of which is `faults`: one sentence per fault. They read
    the CTEs segments and grid, with the columns of app.rfm_segments and app.rfm_segment_grid. The
    service says the same of a rule before it saves it (service/tenants/segment_rules.py).
#}
{% macro segment_rule_faults() -%}
{{ segment_faults() }},

{{ grid_faults() }},

{{ score_combination_faults() }},

faults as (
    select * from segment_faults
    union distinct
    select * from grid_faults
    union distinct
    select * from score_combination_faults
)
{%- endmacro %}
