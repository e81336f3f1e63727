{%- set use_index = are_orders_indexed() -%}

with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
),

decisions as (
    select * from {{ ref('stg_app__sample_decisions') }}
),

samples_config as (
    select * from {{ ref('stg_app__samples_config') }}
),

settings as (
    select s.*
    from samples_config as s
    inner join tenants as t on s.tenant_id = t.tenant_id
),

{{ sample_candidates(use_index, use_index) }},

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
