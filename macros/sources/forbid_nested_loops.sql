{#
    For pre-hooks of models over a connector's tables. Their columns are text or JSON that is parsed
    here, so PostgreSQL has no statistics for join keys and conditions, and takes thousands of rows
    for one: a nested loop would then read a table once per order. Hash and merge joins are linear
    whatever it estimates. Compiling would be, too, only for the price that a forbidden join has.
#}
{% macro forbid_nested_loops() -%}
    set local enable_nestloop = off; set local jit = off
{%- endmacro %}
