-- `not materialized`: a CTE that is read twice would otherwise be computed for all tenants,
-- whatever the filter on tenant_id.
with

builds as (
    select * from {{ ref('rfm_builds') }}
),

customers as not materialized (
    select * from {{ ref('customer_facts') }}
    where segment is not null
),

lines as (
    select * from {{ ref('int_order_lines_valued') }}
    where is_counted
),

-- Only if no line has a price, the first one gets the value of the order, so that the product types
-- add up to the revenue.
purchases as (
    select
        tenant_id,
        customer_id,
        order_id,
        coalesce(product_type, 'unknown') as product_type,
        sum(quantity) as units,
        sum(
            coalesce(
                net_minor,
                case when coalesce(line_position, 1) = 1 then order_net_minor else 0 end
            )
        ) as net_minor
    from lines
    group by tenant_id, customer_id, order_id, coalesce(product_type, 'unknown')
),

buyers as (
    select
        tenant_id,
        customer_id,
        product_type,
        count(*) as orders,
        sum(units) as units,
        sum(net_minor) as revenue_minor
    from purchases
    group by tenant_id, customer_id, product_type
),

counted as (
    select
        b.tenant_id,
        b.product_type,
        c.segment,
        count(*)::int as customers,
        sum(b.orders)::int as orders,
        sum(b.units) as units,
        sum(b.revenue_minor) as revenue_minor,
        count(*) filter (where b.orders > 1) as repeat_customers
    from buyers as b
    inner join customers as c on b.tenant_id = c.tenant_id and b.customer_id = c.customer_id
    group by b.tenant_id, b.product_type, c.segment
),

segment_sizes as (
    select
        tenant_id,
        segment,
        count(*) as customers
    from customers
    group by tenant_id, segment
),

final as (
    select
        c.tenant_id,
        c.product_type,
        c.segment,
        c.customers,
        round(c.customers::numeric / s.customers, 4) as segment_share,
        round(
            c.customers::numeric / sum(c.customers) over (partition by c.tenant_id, c.product_type),
            4
        ) as product_type_share,
        c.orders,
        coalesce(c.units, 0) as units,
        {{ major_units('c.revenue_minor', 'b.currency_exponent') }} as revenue,
        round(
            c.revenue_minor / nullif(sum(c.revenue_minor) over (partition by c.tenant_id), 0), 4
        ) as revenue_share,
        round(c.repeat_customers::numeric / c.customers, 4) as repeat_rate,
        b.currency,
        b.as_of as calculated_at
    from counted as c
    inner join segment_sizes as s on c.tenant_id = s.tenant_id and c.segment = s.segment
    inner join builds as b on c.tenant_id = b.tenant_id
)

select * from final
