{%- set use_index = are_orders_indexed() -%}

with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
),

sample_words as (
    select * from {{ ref('sample_words') }}
),

samples as (
    select * from {{ ref('int_orders_matched_as_samples') }}
),

free_orders as (
    select
        t.tenant_id,
        o.order_id,
        o.tags
    from tenants as t
    cross join lateral (
        select
            n.order_id,
            n.tags
        from orders as n
        where n.tenant_id = t.tenant_id and n.subtotal_minor <= 0
        {{ 'offset 0' if use_index }} -- noqa: AM09
    ) as o
),

-- Most free orders are samples already and therefore no near misses.
free_tags as (
    select
        o.tenant_id,
        o.order_id,
        tag,
        {{ tag_key('tag') }} as tag_key
    from free_orders as o
    left join samples as s on o.tenant_id = s.tenant_id and o.order_id = s.order_id
    cross join lateral unnest(o.tags) as tag
    where s.order_id is null
    offset 0 -- noqa: AM09
),

final as (
    select
        t.tenant_id,
        t.order_id,
        {{ sorted_distinct('t.tag') }} as matched_tags
    from free_tags as t
    inner join sample_words as w on position(w.word in t.tag_key) > 0
    group by t.tenant_id, t.order_id
)

select * from final
