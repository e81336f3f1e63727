with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

orders as (
    select * from {{ ref('stg_shopify__orders') }}
    where {{ of_built_tenants() }}
),

settings as (
    select * from {{ ref('stg_app__samples_config') }}
),

-- What a match may cost. A channel match is free from the start; a tagged sample may also have
-- been paid first and refunded since. Shipping is not goods, so the total does not come into it.
priced_orders as (
    select
        o.tenant_id,
        o.order_id,
        o.customer_id,
        o.channel,
        o.tags,
        not s.is_zero_price_only
        or o.subtotal_minor <= 0 as is_channel_match_allowed,
        not s.is_zero_price_only
        or o.subtotal_minor <= 0
        or o.subtotal_minor <= o.refunded_minor as is_tag_match_allowed
    from orders as o
    inner join tenants as t on o.tenant_id = t.tenant_id
    inner join settings as s on o.tenant_id = s.tenant_id
),

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

tag_matches as (
    select
        o.tenant_id,
        o.order_id,
        o.customer_id,
        s.sample_type,
        tag as matched_tag,
        null::text as matched_pattern
    from priced_orders as o
    cross join lateral unnest(o.tags) as tag
    inner join sample_tags as s on o.tenant_id = s.tenant_id and {{ tag_key('tag') }} = s.tag_key
    where o.is_tag_match_allowed and s.tag_key <> ''
),

channels as (
    select distinct
        tenant_id,
        channel
    from priced_orders
    where channel is not null
),

-- PostgreSQL raises an error for a pattern that ends in an unpaired backslash. None can be stored,
-- and should one be there all the same it matches nothing.
channel_patterns as (
    select
        c.tenant_id,
        c.channel,
        pattern
    from channels as c
    inner join settings as s on c.tenant_id = s.tenant_id
    cross join lateral unnest(s.channel_patterns) as pattern
    where
        case
            when length(substring(pattern from '\\*$')) % 2 = 0 then c.channel ilike pattern
            else false
        end
),

channel_matches as (
    select
        o.tenant_id,
        o.order_id,
        o.customer_id,
        'tiktok' as sample_type,
        null::text as matched_tag,
        p.pattern as matched_pattern
    from priced_orders as o
    inner join channel_patterns as p on o.tenant_id = p.tenant_id and o.channel = p.channel
    where o.is_channel_match_allowed
),

matches as (
    select * from tag_matches

    union all

    select * from channel_matches
),

final as (
    select
        tenant_id,
        order_id,
        customer_id,
        bool_or(sample_type = 'ugc') as is_ugc,
        bool_or(sample_type = 'tiktok') as is_tiktok,
        {{ distinct_texts('matched_tag') }} as matched_tags,
        {{ distinct_texts('matched_pattern') }} as matched_patterns
    from matches
    group by tenant_id, order_id, customer_id
)

select * from final
