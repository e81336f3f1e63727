with

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
),

settings as (
    select * from {{ ref('stg_app__samples_config') }}
    where {{ tenant_filter() }}
),

samples as (
    select * from {{ ref('int_orders_matched_as_samples') }}
),

nearly_free_through_a_channel as (
    select * from {{ ref('int_orders_nearly_free_by_channel') }}
),

free_with_a_sample_word as (
    select * from {{ ref('int_free_orders_with_sample_words') }}
),

{{ sample_tag_matches(are_orders_indexed()) }},

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

candidates as (
    select
        *,
        1 as priority
    from paid_with_a_tag

    union all

    select
        tenant_id,
        order_id,
        'channel_not_free' as reason,
        matched_patterns as evidence,
        2 as priority
    from nearly_free_through_a_channel

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
