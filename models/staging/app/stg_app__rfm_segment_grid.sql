with

source as (
    select * from {{ app_table('rfm_segment_grid') }}
),

final as (
    select
        tenant_id,
        r_score,
        f_score,
        m_score,
        segment
    from source
)

select * from final
