{#
    Applies the price conditions to the candidates. Each type has its own: by default a UGC tag makes
    a sample at any price, and goods for TikTok must have been free. For a channel match they were
    free from the start; with a tag they may also have been paid first and refunded later, or
    been edited to cost nothing. Only the goods matter: the total also contains shipping. An order
    that a person made a sample needs no match.
#}
{% macro sample_matches(use_index) -%}
priced_tag_matches as (
    select
        {{ sample_order_columns('m') }},
        m.sample_type,
        m.matched_tag,
        '{}'::text[] as matched_patterns
    from tag_matches as m
    where
        not m.is_zero_price_only
        or m.subtotal_minor <= 0
        or m.subtotal_minor <= m.refunded_minor
        or m.current_subtotal_minor <= 0
),

-- Two lookups, because only orders with free goods have an index of their own.
channel_matches as (
    select
        o.*,
        'tiktok' as sample_type,
        null::text as matched_tag,
        c.matched_patterns
    from matched_channels as c
    {{ sample_order_lookup(
        'n.tenant_id = c.tenant_id and n.channel = c.channel and n.subtotal_minor <= 0', use_index
    ) }}

    union all

    select
        o.*,
        'tiktok' as sample_type,
        null::text as matched_tag,
        c.matched_patterns
    from matched_channels as c
    {{ sample_order_lookup(
        'n.tenant_id = c.tenant_id and n.channel = c.channel and n.subtotal_minor > 0', use_index
    ) }}
    where not c.is_zero_price_only
),

-- Orders that a person made samples, whatever their tags, channel and price.
marked_orders as (
    select
        o.*,
        d.decision as sample_type,
        null::text as matched_tag,
        '{}'::text[] as matched_patterns
    from settings as s
    inner join decisions as d on s.tenant_id = d.tenant_id
    {{ sample_order_lookup('n.tenant_id = d.tenant_id and n.order_id = d.order_id', use_index) }}
    where d.decision in ('ugc', 'tiktok')
),

matches as (
    select * from priced_tag_matches
    union all
    select * from channel_matches
    union all
    select * from marked_orders
),

matched_samples as (
    select
        m.tenant_id,
        m.order_id,
        m.customer_id,
        bool_or(m.sample_type = 'ugc') as is_ugc,
        bool_or(m.sample_type = 'tiktok') as is_tiktok,
        {{ sorted_distinct('m.matched_tag') }} as matched_tags,
        -- An order has one channel, so at most one of its rows has patterns.
        max(m.matched_patterns) as matched_patterns,
        case
            when m.subtotal_minor <= 0 then 'free'
            when
                count(m.matched_tag) > 0
                and (m.subtotal_minor <= m.refunded_minor or m.current_subtotal_minor <= 0)
                then 'refunded'
            else 'any'
        end as price_reason
    from matches as m
    group by
        {{ sample_order_columns('m') }}
)
{%- endmacro %}


{% macro sample_order_lookup(condition, use_index) -%}
    cross join lateral (
        select
            {{ sample_order_columns('n') | indent }}
        from orders as n
        where {{ condition }}
        {%- if use_index %}
        offset 0
        {%- endif %}
    ) as o
{%- endmacro %}
