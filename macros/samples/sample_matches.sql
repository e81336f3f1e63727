{#
    Applies the price conditions to the candidates. Each type has its own: by default a UGC tag makes
    a sample at any price, and goods for TikTok must have been free. For a channel match they were
    free from the start; with a tag they may also have been paid first and refunded later, or
    been edited to cost nothing. Only the goods matter: the total also contains shipping. An order
    that a person made a sample needs no match.
#}
{% macro sample_matches(use_channel_index) -%}
{%- set columns = "
            n.tenant_id,
            n.order_id,
            n.customer_id,
            n.subtotal_minor,
            n.refunded_minor,
            n.current_subtotal_minor" -%}

-- Two lookups, because only orders with free goods have an index of their own.
channel_matches as (
    select
        o.*,
        c.matched_patterns
    from matched_channels as c
    cross join lateral (
        select
            {{- columns }}
        from orders as n
        where n.tenant_id = c.tenant_id and n.channel = c.channel and n.subtotal_minor <= 0
        {%- if use_channel_index %}
        offset 0
        {%- endif %}
    ) as o

    union all

    select
        o.*,
        c.matched_patterns
    from matched_channels as c
    cross join lateral (
        select
            {{- columns }}
        from orders as n
        where n.tenant_id = c.tenant_id and n.channel = c.channel and n.subtotal_minor > 0
        {%- if use_channel_index %}
        offset 0
        {%- endif %}
    ) as o
    where not c.is_zero_price_only
),

-- Orders that a person made samples, whatever their tags, channel and price.
marked_orders as (
    select
        o.*,
        d.decision as sample_type
    from settings as s
    inner join decisions as d on s.tenant_id = d.tenant_id
    cross join lateral (
        select
            {{- columns }}
        from orders as n
        where n.tenant_id = d.tenant_id and n.order_id = d.order_id
        {%- if use_channel_index %}
        offset 0
        {%- endif %}
    ) as o
    where d.decision in ('ugc', 'tiktok')
),

matches as (
    select
        m.tenant_id,
        m.order_id,
        m.customer_id,
        m.subtotal_minor,
        m.refunded_minor,
        m.current_subtotal_minor,
        m.sample_type,
        m.matched_tag,
        '{}'::text[] as matched_patterns
    from tag_matches as m
    inner join settings as s on m.tenant_id = s.tenant_id
    where
        not case
            when m.sample_type = 'ugc' then s.is_ugc_zero_price_only
            else s.is_zero_price_only
        end
        or m.subtotal_minor <= 0
        or m.subtotal_minor <= m.refunded_minor
        or m.current_subtotal_minor <= 0

    union all

    select
        m.tenant_id,
        m.order_id,
        m.customer_id,
        m.subtotal_minor,
        m.refunded_minor,
        m.current_subtotal_minor,
        'tiktok' as sample_type,
        null::text as matched_tag,
        m.matched_patterns
    from channel_matches as m

    union all

    select
        m.tenant_id,
        m.order_id,
        m.customer_id,
        m.subtotal_minor,
        m.refunded_minor,
        m.current_subtotal_minor,
        m.sample_type,
        null::text as matched_tag,
        '{}'::text[] as matched_patterns
    from marked_orders as m
),

matched_samples as (
    select
        tenant_id,
        order_id,
        customer_id,
        bool_or(sample_type = 'ugc') as is_ugc,
        bool_or(sample_type = 'tiktok') as is_tiktok,
        {{ sorted_distinct('matched_tag') }} as matched_tags,
        -- An order has one channel, so at most one of its rows has patterns.
        max(matched_patterns) as matched_patterns,
        case
            when subtotal_minor <= 0 then 'free'
            when
                count(matched_tag) > 0
                and (subtotal_minor <= refunded_minor or current_subtotal_minor <= 0)
                then 'refunded'
            else 'any'
        end as price_reason
    from matches
    group by
        tenant_id,
        order_id,
        customer_id,
        subtotal_minor,
        refunded_minor,
        current_subtotal_minor
)
{%- endmacro %}
