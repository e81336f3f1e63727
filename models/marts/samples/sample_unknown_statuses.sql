with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

samples as (
    select * from {{ ref('sample_orders') }}
),

fulfillment_statuses as (
    select * from {{ ref('fulfillment_statuses') }}
),

final as (
    select
        s.tenant_id,
        upper(btrim(s.fulfillment_status)) as fulfillment_status,
        count(*)::int as samples,
        max(s.ordered_at) as last_ordered_at
    from samples as s
    inner join tenants as t on s.tenant_id = t.tenant_id
    left join fulfillment_statuses as f
        on upper(btrim(s.fulfillment_status)) = f.fulfillment_status
    where f.status is null and btrim(s.fulfillment_status) <> ''
    group by s.tenant_id, upper(btrim(s.fulfillment_status))
)

select * from final
