{#
    With the indexes, each CTE below does one index lookup per row of the CTE before it. `offset 0`
    keeps the planner from replacing the lookups by a scan of all orders: it estimates that an array
    overlap matches a fixed share of them.
#}
{% macro sample_candidates(use_tag_index, use_channel_index) -%}
sample_tags as (
    select
        s.tenant_id,
        'ugc' as sample_type,
        {{ tag_key('tag') }} as tag_key
    from settings as s
    cross join lateral unnest(s.ugc_tags) as tag

    union distinct

    select
        s.tenant_id,
        'tiktok' as sample_type,
        {{ tag_key('tag') }} as tag_key
    from settings as s
    cross join lateral unnest(s.tiktok_tags) as tag
),

{% if use_tag_index -%}
-- The tag numbers differ between tenants, so they imply the tenant. With the tenant compared inside
-- as well, the planner would also look up all orders of the tenant.
tagged_orders as (
    select o.*
    from settings as s
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
),
{%- else -%}
tagged_orders as (
    select o.*
    from settings as s
    inner join orders as o on s.tenant_id = o.tenant_id
    where o.tags <> '{}'
),
{%- endif %}

-- `offset 0` makes PostgreSQL compute each tag key once and then look up the few sample tags.
-- Without it the planner first compares every order with every tag of every tenant.
order_tags as (
    select
        o.tenant_id,
        o.order_id,
        o.customer_id,
        o.subtotal_minor,
        o.refunded_minor,
        o.current_subtotal_minor,
        tag,
        {{ tag_key('tag') }} as tag_key
    from tagged_orders as o
    cross join lateral unnest(o.tags) as tag
    offset 0
),

tag_matches as (
    select
        t.tenant_id,
        t.order_id,
        t.customer_id,
        t.subtotal_minor,
        t.refunded_minor,
        t.current_subtotal_minor,
        s.sample_type,
        t.tag as matched_tag
    from order_tags as t
    inner join sample_tags as s on t.tenant_id = s.tenant_id and t.tag_key = s.tag_key
    where s.tag_key <> ''
),

{% if use_channel_index -%}
-- Loose index scan: jump from each channel name to the next one in the index, so that a million
-- orders of one channel are one step.
channels as (
    with recursive channel_steps as (
        select
            s.tenant_id,
            f.channel
        from settings as s
        cross join lateral (
            select n.channel
            from orders as n
            where n.tenant_id = s.tenant_id and n.channel is not null
            order by n.channel
            limit 1
        ) as f

        union all

        select
            s.tenant_id,
            f.channel
        from channel_steps as s
        cross join lateral (
            select n.channel
            from orders as n
            where n.tenant_id = s.tenant_id and n.channel > s.channel
            order by n.channel
            limit 1
        ) as f
    )

    select
        tenant_id,
        channel
    from channel_steps
),
{%- else -%}
channels as (
    select distinct
        o.tenant_id,
        o.channel
    from settings as s
    inner join orders as o on s.tenant_id = o.tenant_id
    where o.channel is not null
),
{%- endif %}

-- PostgreSQL raises an error for a pattern that ends in an unpaired backslash. Constraints reject
-- such patterns; if there is one anyway, it matches nothing. Materialized so that the orders of a
-- channel are looked up only after the channel has matched.
matched_channels as materialized (
    select
        c.tenant_id,
        c.channel,
        s.is_zero_price_only,
        {{ sorted_distinct('pattern') }} as matched_patterns
    from channels as c
    inner join settings as s on c.tenant_id = s.tenant_id
    cross join lateral unnest(s.channel_patterns) as pattern
    where
        case
            when length(substring(pattern from '\\*$')) % 2 = 0 then c.channel ilike pattern
            else false
        end
    group by c.tenant_id, c.channel, s.is_zero_price_only
)
{%- endmacro %}
