{#
    With the index, there is one look-up of orders per tenant. `offset 0` keeps the planner from
    replacing it by a scan of all orders: it estimates that an array overlap matches a fixed share
    of them.
#}
{% macro sample_tag_matches(use_index) -%}
sample_tags as (
    select distinct
        s.tenant_id,
        t.sample_type,
        t.is_zero_price_only,
        {{ tag_key('tag') }} as tag_key
    from settings as s
    cross join lateral (
        values
        ('ugc', s.ugc_tags, s.is_ugc_zero_price_only),
        ('tiktok', s.tiktok_tags, s.is_zero_price_only)
    ) as t (sample_type, tags, is_zero_price_only)
    cross join lateral unnest(t.tags) as tag
),

tagged_orders as (
    select o.*
    from settings as s
    {%- if use_index %}
    -- The tag numbers differ between tenants, so they imply the tenant. With the tenant compared
    -- inside as well, the planner would also look up all orders of the tenant.
    cross join lateral (
        select n.*
        from orders as n
        where
            n.tags <> '{}'
            and {{ adapter.quote(var('app_schema')) }}.tenant_tag_numbers(n.tenant_id, n.tags)
            && {{ adapter.quote(var('app_schema')) }}.tenant_tag_numbers(
                s.tenant_id, s.ugc_tags || s.tiktok_tags
            )
        offset 0
    ) as o
    where s.tenant_id = o.tenant_id
    {%- else %}
    inner join orders as o on s.tenant_id = o.tenant_id
    where o.tags <> '{}'
    {%- endif %}
),

-- `offset 0` makes PostgreSQL compute each tag key once and then look up the few sample tags.
-- Without it the planner first compares every order with every tag of every tenant.
order_tags as (
    select
        {{ sample_order_columns('o') }},
        tag as matched_tag,
        {{ tag_key('tag') }} as tag_key
    from tagged_orders as o
    cross join lateral unnest(o.tags) as tag
    offset 0
),

tag_matches as (
    select
        t.*,
        s.sample_type,
        s.is_zero_price_only
    from order_tags as t
    inner join sample_tags as s on t.tenant_id = s.tenant_id and t.tag_key = s.tag_key
    where s.tag_key <> ''
)
{%- endmacro %}


{# What a sample is assessed by. #}
{% macro sample_order_columns(row) -%}
    {{ row }}.tenant_id,
        {{ row }}.order_id,
        {{ row }}.customer_id,
        {{ row }}.subtotal_minor,
        {{ row }}.refunded_minor,
        {{ row }}.current_subtotal_minor
{%- endmacro %}
