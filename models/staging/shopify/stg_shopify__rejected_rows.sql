with

source as (
    select * from {{ shopify_table('rejected_rows') }}
),

final as (
    select
        tenant_id,
        entity,
        source_id,
        reason,
        rejected_at
    from source
)

select * from final
