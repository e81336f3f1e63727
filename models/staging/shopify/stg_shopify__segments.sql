with

source as (
    select * from {{ shopify_table('cached_segments') }}
),

final as (
    select
        tenant_id,
        segment_id,
        name as segment_name,
        query as segment_query,
        member_count,
        created_at,
        last_edited_at,
        synced_at
    from source
    where gone_at is null
)

select * from final
