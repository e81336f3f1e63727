{#
    Whether the model, seed or test that is being run belongs to this project. Operations without a
    node do not.
#}
{% macro is_own_node() -%}
    {{ return(model is defined and model.package_name == 'quintile') }}
{%- endmacro %}
