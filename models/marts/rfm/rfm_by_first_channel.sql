with

builds as (
    select * from {{ ref('rfm_builds') }}
),

customers as (
    select * from {{ ref('customer_facts') }}
    where segment is not null
),

-- Two orders placed at the same moment may both be first: the lower order id decides.
first_orders as (
    select distinct on (tenant_id, customer_id)
        tenant_id,
        customer_id,
        channel
    from {{ ref('int_orders_assessed_for_rfm') }}
    where instants_back = 0 and is_first_order
    order by tenant_id asc, customer_id asc, order_id asc
),

-- Every customer of a segment is here, so that the channels add up to the segments.
customers_with_channel as (
    select
        c.tenant_id,
        coalesce(nullif(btrim(o.channel), ''), 'unknown') as first_channel,
        c.segment,
        c.window_order_count,
        c.window_minor
    from customers as c
    left join first_orders as o on c.tenant_id = o.tenant_id and c.customer_id = o.customer_id
),

counted as (
    select
        tenant_id,
        first_channel,
        segment,
        count(*)::int as customers,
        sum(window_order_count)::int as orders,
        sum(window_minor) as revenue_minor,
        count(*) filter (where window_order_count > 1) as repeat_customers
    from customers_with_channel
    group by tenant_id, first_channel, segment
),

final as (
    select
        c.tenant_id,
        c.first_channel,
        c.segment,
        c.customers,
        round(
            c.customers::numeric / sum(c.customers) over (partition by c.tenant_id, c.segment), 4
        ) as segment_share,
        round(
            c.customers::numeric
            / sum(c.customers) over (partition by c.tenant_id, c.first_channel),
            4
        ) as channel_share,
        c.orders,
        {{ major_units('c.revenue_minor', 'b.currency_exponent') }} as revenue,
        round(
            c.revenue_minor / sum(c.revenue_minor) over (partition by c.tenant_id), 4
        ) as revenue_share,
        round(
            {{ major_units('c.revenue_minor', 'b.currency_exponent') }} / c.orders,
            b.currency_exponent
        ) as average_order_value,
        round(c.repeat_customers::numeric / c.customers, 4) as repeat_rate,
        b.currency,
        b.as_of as calculated_at
    from counted as c
    inner join builds as b on c.tenant_id = b.tenant_id
)

select * from final
