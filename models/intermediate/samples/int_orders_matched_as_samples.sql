{%- set use_index = are_orders_indexed() -%}

with

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
),

decisions as (
    select * from {{ ref('stg_app__sample_decisions') }}
),

settings as (
    select * from {{ ref('stg_app__samples_config') }}
    where {{ tenant_filter() }}
),

{{ sample_tag_matches(use_index) }},

{{ sample_channels(use_index) }},

{{ sample_matches(use_index) }},

final as (
    select
        tenant_id,
        order_id,
        customer_id,
        is_ugc,
        is_tiktok,
        matched_tags,
        matched_patterns,
        price_reason
    from matched_samples
)

select * from final
