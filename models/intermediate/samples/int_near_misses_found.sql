{%- set use_index = are_orders_indexed() -%}

with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
),

samples_config as (
    select * from {{ ref('stg_app__samples_config') }}
),

samples as (
    select * from {{ ref('int_orders_matched_as_samples') }}
),

free_with_a_sample_word as (
    select * from {{ ref('int_free_orders_with_sample_words') }}
),

settings as (
    select s.*
    from samples_config as s
    inner join tenants as t on s.tenant_id = t.tenant_id
),

{{ sample_candidates(use_index, use_index) }},

-- The order has a tag of a type that requires free goods, but its goods were paid for. A refund
-- makes it a sample. Orders found here that are samples at any price are left out below.
paid_with_a_tag as (
    select
        tenant_id,
        order_id,
        'tag_not_free' as reason,
        {{ sorted_distinct('matched_tag') }} as evidence
    from tag_matches
    group by tenant_id, order_id
),

-- Ordinary sales of a channel are no suggestions, and in some shops they are half of all orders.
-- Goods that cost next to nothing are no ordinary sale. The JSON path skips lines that cannot be
-- read; an order without a readable line is taken for a sale.
paid_through_a_channel as (
    select
        c.tenant_id,
        o.order_id,
        'channel_not_free' as reason,
        c.matched_patterns as evidence
    from matched_channels as c
    cross join lateral (
        select n.order_id
        from orders as n
        cross join
            lateral (
                select
                    sum(
                        (line_item ->> 'unit_price_minor')::numeric
                        * (line_item ->> 'quantity')::numeric
                    ) as list_minor
                from jsonb_path_query(
                        n.line_items,
                        '$[*] ? (@.unit_price_minor.type() == "number"'
                        ' && @.quantity.type() == "number")'
                    ) as line_item
            ) as l
        where
            not n.is_test
            and n.tenant_id = c.tenant_id
            and n.channel = c.channel
            and n.subtotal_minor > 0
            and n.ordered_at
            >= {{ as_of() }} - {{ var('sample_near_miss_days') }} * interval '1 day'
            and n.subtotal_minor <= {{ var('sample_near_miss_price_share') }} * l.list_minor
        {{ 'offset 0' if use_index }} -- noqa: AM09
    ) as o
),

candidates as (
    select
        *,
        1 as priority
    from paid_with_a_tag

    union all

    select
        *,
        2 as priority
    from paid_through_a_channel

    union all

    select
        tenant_id,
        order_id,
        'tag_looks_like_sample' as reason,
        matched_tags as evidence,
        3 as priority
    from free_with_a_sample_word
),

-- One reason per order, by priority. A sample is never a near miss.
final as (
    select distinct on (f.tenant_id, f.order_id)
        f.tenant_id,
        f.order_id,
        f.reason,
        f.evidence
    from candidates as f
    left join samples as s on f.tenant_id = s.tenant_id and f.order_id = s.order_id
    where s.order_id is null
    order by f.tenant_id asc, f.order_id asc, f.priority asc
)

select * from final
