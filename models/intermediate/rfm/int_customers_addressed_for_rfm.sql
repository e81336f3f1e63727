with

measured_customers as (
    select * from {{ ref('int_customers_measured_for_rfm') }}
),

customers as (
    select * from {{ ref('stg_shopify__customers') }}
),

orders as (
    select * from {{ ref('stg_shopify__orders') }}
),

with_landed_address as (
    select
        m.*,
        c.email
    from measured_customers as m
    left join customers as c on m.tenant_id = c.tenant_id and m.customer_id = c.customer_id
),

-- Imported orders may name customers that the store never sent: the last order's address serves.
order_addresses as (
    select
        m.tenant_id,
        m.instants_back,
        m.customer_id,
        min(o.customer_email) as email
    from with_landed_address as m
    inner join orders as o
        on
            m.tenant_id = o.tenant_id
            and m.customer_id = o.customer_id
            and m.last_order_at = o.ordered_at
    where m.email is null
    group by m.tenant_id, m.instants_back, m.customer_id
),

final as (
    select
        m.tenant_id,
        m.instants_back,
        m.customer_id,
        m.last_order_at,
        m.frequency_count,
        m.monetary_minor,
        coalesce(m.email, a.email) as email
    from with_landed_address as m
    left join order_addresses as a
        on
            m.tenant_id = a.tenant_id
            and m.instants_back = a.instants_back
            and m.customer_id = a.customer_id
)

select * from final
