{#
    By the indexes, every CTE below reads what the one before it has found, one small look at a time.
    `offset 0` keeps the planner from turning such a look into a pass over all orders: it takes the
    orders that meet an array for a fixed share of them all.
#}
{% macro sample_candidates(tags_by_index, channels_by_index) -%}
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

{% if tags_by_index -%}
-- The numbers are a tenant's own. Comparing the tenant inside as well would only have the planner
-- look up all orders of the tenant besides.
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

-- `offset 0` has the key of each tag worked out once, and the few that samples have looked up by it:
-- the planner would compare every order with every tag of every tenant first.
tags_of_orders as (
    select
        o.tenant_id,
        o.order_id,
        o.customer_id,
        o.subtotal_minor,
        o.refunded_minor,
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
        s.sample_type,
        t.tag as matched_tag
    from tags_of_orders as t
    inner join sample_tags as s on t.tenant_id = s.tenant_id and t.tag_key = s.tag_key
    where s.tag_key <> ''
),

{% if channels_by_index -%}
-- From each channel name to the next one in the index, so that a million orders of one channel are
-- one step.
channels as (
    with recursive steps as (
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
        from steps as s
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
    from steps
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

-- PostgreSQL raises an error for a pattern that ends in an unpaired backslash. None can be stored,
-- and should one be there all the same it matches nothing. Materialized, so that the orders of a
-- channel are looked up when it is known to match.
sampling_channels as materialized (
    select
        c.tenant_id,
        c.channel,
        s.is_zero_price_only,
        {{ distinct_texts('pattern') }} as matched_patterns
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
