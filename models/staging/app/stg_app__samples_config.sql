with

tenants as (
    select * from {{ app_table('tenants') }}
),

source as (
    select * from {{ app_table('samples_config') }}
),

-- A tenant without a row has the column defaults of app.samples_config.
final as (
    select
        t.tenant_id,
        coalesce(s.ugc_tags, '{ugc-sample,ugc,creator-sample}') as ugc_tags,
        coalesce(s.tiktok_tags, '{tiktok-sample,tiktok-shop-sample,Free sample}') as tiktok_tags,
        coalesce(s.channel_patterns, '{tiktok%,%tiktok shop%}') as channel_patterns,
        coalesce(s.zero_price_only, true) as is_zero_price_only,
        coalesce(s.ugc_zero_price_only, false) as is_ugc_zero_price_only
    from tenants as t
    left join source as s on t.tenant_id = s.tenant_id
)

select * from final
