with

builds as (
    select * from {{ ref('rfm_builds') }}
),

customers as (
    select * from {{ ref('customer_facts') }}
),

final as (
    select
        c.tenant_id,
        c.customer_id,
        date_trunc('month', c.first_order_at at time zone b.time_zone)::date as cohort_month,
        c.segment,
        c.lifetime_minor,
        c.window_minor
    from customers as c
    inner join builds as b on c.tenant_id = b.tenant_id
    where c.first_order_at is not null and not c.is_excluded_from_rfm
)

select * from final
