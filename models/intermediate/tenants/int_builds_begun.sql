with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

final as (
    select
        tenant_id,
        pg_snapshot_xmin(pg_current_snapshot()) as changes_from
    from tenants
)

select
    tenant_id,
    changes_from
from final
