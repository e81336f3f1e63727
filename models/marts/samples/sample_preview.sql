{{ config(enabled=var('use_service_schemas')) }}

{%- set by_index = are_orders_indexed() -%}

-- The settings are those of the transaction that asks, in its setting app.samples_preview: a JSON
-- object of tenant_id and the columns of app.samples_config. Without one there are no rows. The
-- rule is that of int_orders_matched_as_samples, so that what is shown is what a build would do.
with

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
),

asked as (
    select nullif(current_setting('app.samples_preview', true), '')::jsonb as config
),

settings as (
    select
        (config ->> 'tenant_id')::uuid as tenant_id,
        array(select jsonb_array_elements_text(config -> 'ugc_tags')) as ugc_tags,
        array(select jsonb_array_elements_text(config -> 'tiktok_tags')) as tiktok_tags,
        array(select jsonb_array_elements_text(config -> 'channel_patterns')) as channel_patterns,
        (config ->> 'zero_price_only')::boolean as is_zero_price_only
    from asked
    where config is not null
),

{{ sample_candidates(false, by_index) }},

{{ sample_matches(by_index) }}

select
    tenant_id,
    order_id,
    is_ugc,
    is_tiktok,
    matched_tags,
    matched_patterns,
    price_reason
from matched_samples
