{{ config(enabled=var('use_service_schemas')) }}

{%- set use_index = are_orders_indexed() -%}

-- The settings come from app.samples_preview, a setting of the current transaction: a JSON object
-- of tenant_id and the columns of app.samples_config. Without it the view is empty. It uses the
-- same macros as int_orders_matched_as_samples, so the preview equals the result of a build.
with

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
),

decisions as (
    select * from {{ ref('stg_app__sample_decisions') }}
),

preview_settings as (
    select nullif(current_setting('app.samples_preview', true), '')::jsonb as config
),

settings as (
    select
        (config ->> 'tenant_id')::uuid as tenant_id,
        array(select jsonb_array_elements_text(config -> 'ugc_tags')) as ugc_tags,
        array(select jsonb_array_elements_text(config -> 'tiktok_tags')) as tiktok_tags,
        array(select jsonb_array_elements_text(config -> 'channel_patterns')) as channel_patterns,
        (config ->> 'zero_price_only')::boolean as is_zero_price_only,
        -- A service of the previous release does not send it.
        coalesce((config ->> 'ugc_zero_price_only')::boolean, false) as is_ugc_zero_price_only
    from preview_settings
    where config is not null
),

{{ sample_tag_matches(use_index=false) }},

{{ sample_channels(use_index) }},

{{ sample_matches(use_index) }}

select
    tenant_id,
    order_id,
    is_ugc,
    is_tiktok,
    matched_tags,
    matched_patterns,
    price_reason
from matched_samples
