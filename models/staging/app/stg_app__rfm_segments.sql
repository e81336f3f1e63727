with

source as (
    select * from {{ app_table('rfm_segments') }}
),

final as (
    select
        tenant_id,
        segment,
        label,
        colour,
        priority,
        description,
        suggested_action
    from source
)

select * from final
