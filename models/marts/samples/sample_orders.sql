with

samples as (
    select * from {{ ref('int_samples_given_status') }}
),

goods as (
    select * from {{ ref('int_sample_goods_valued') }}
),

automatic_links as (
    select * from {{ ref('int_samples_matched_to_creators') }}
),

manual_links as (
    select * from {{ ref('stg_app__sample_creator_links') }}
),

creators as (
    select * from {{ ref('stg_app__creators') }}
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

-- A person's choice takes precedence, even the choice of no creator.
linked as (
    select
        s.*,
        a.creator_id as automatic_creator_id,
        a.matched_by as automatic_link,
        case when m.order_id is not null then m.creator_id else a.creator_id end as creator_id,
        case
            when m.order_id is null then a.matched_by
            when m.creator_id is null then 'unlinked'
            else 'manual'
        end as creator_link
    from samples as s
    left join automatic_links as a on s.tenant_id = a.tenant_id and s.order_id = a.order_id
    left join manual_links as m on s.tenant_id = m.tenant_id and s.order_id = m.order_id
),

final as (
    select
        -- ids
        l.tenant_id,
        l.order_id,
        l.order_number,
        l.customer_id,
        l.customer_name,
        l.customer_email,

        -- evidence
        l.is_ugc,
        l.is_tiktok,
        l.matched_tags,
        l.matched_patterns,
        l.price_reason,
        concat_ws(
            '; ',
            case
                when l.matched_tags <> '{}'
                    then 'tagged “' || array_to_string(l.matched_tags, '”, “') || '”'
            end,
            case
                when l.matched_patterns <> '{}' then
                    'channel “' || l.channel || '” is like “'
                    || array_to_string(l.matched_patterns, '”, “') || '”'
            end,
            case
                when l.matched_tags = '{}' and l.matched_patterns = '{}'
                    then 'a person marked it as a sample'
            end,
            case
                when l.price_reason = 'free' then 'the goods cost nothing'
                when l.price_reason = 'refunded'
                    then 'the goods were refunded or taken off the order'
                when l.matched_tags <> '{}' or l.matched_patterns <> '{}' then 'any price counts'
            end
        ) as evidence,

        -- status
        l.status,
        l.fulfillment_status,
        l.days_waiting,

        -- contents
        l.channel,
        l.tags,
        l.line_items,
        {{ major_units('g.value_minor', 'coalesce(e.exponent, 2)') }} as goods_value,
        coalesce(least(g.value_minor, 9223372036854775807)::bigint, -1) as goods_value_rank,
        coalesce(l.days_waiting, -1) as days_waiting_rank,
        l.currency,

        -- creator
        l.creator_id,
        c.handle as creator_handle,
        c.display_name as creator_name,
        l.creator_link,
        l.automatic_creator_id,
        l.automatic_link,

        -- timestamps
        l.ordered_at,
        l.cancelled_at,
        l.first_fulfilled_at,
        l.delivered_at
    from linked as l
    left join goods as g on l.tenant_id = g.tenant_id and l.order_id = g.order_id
    left join creators as c on l.tenant_id = c.tenant_id and l.creator_id = c.creator_id
    left join currency_exponents as e on l.currency = e.currency
)

select * from final
