{% macro sample_channels(use_index) -%}
{% if use_index -%}
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
