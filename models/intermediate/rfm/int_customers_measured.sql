with

-- An order that is not a sale has no sold_at, but its customer gets a row.
sales as not materialized (
    select * from {{ ref('int_orders_checked_as_sales') }}
),

landed_customers as not materialized (
    select * from {{ ref('stg_shopify__customers') }}
    where {{ tenant_filter() }}
),

fully_recalculated_windows as not materialized (
    select * from {{ ref('int_windows_built_for_rfm') }}
    where instants_back = 0 and is_measured_anew and {{ tenant_filter() }}
),

changed_customers as not materialized (
    select * from {{ ref('int_customers_touched') }}
    where
        {{ tenant_filter() }}
        and tenant_id not in (select w.tenant_id from fully_recalculated_windows as w)
),

customers_to_recalculate as (
    select c.*
    from landed_customers as c
    inner join fully_recalculated_windows as w on c.tenant_id = w.tenant_id

    union all

    select c.*
    from changed_customers as t
    -- `offset 0` forces one index lookup per customer, as for the orders.
    cross join lateral (
        select c.* from landed_customers as c
        where c.tenant_id = t.tenant_id and c.customer_id = t.customer_id
        offset 0 -- noqa: AM09
    ) as c
),

order_figures as (
    select
        tenant_id,
        customer_id,
        count(sold_at)::int as lifetime_order_count,
        coalesce(sum(net_minor) filter (where sold_at is not null), 0) as lifetime_minor,
        min(sold_at) as first_order_at,
        max(sold_at) as last_order_at,
        (count(*) filter (where sold_at >= window_starts_at))::int as window_order_count,
        coalesce(sum(net_minor) filter (where sold_at >= window_starts_at), 0) as window_minor
    from sales
    group by tenant_id, customer_id
),

final as (
    select
        coalesce(o.tenant_id, c.tenant_id) as tenant_id,
        coalesce(o.customer_id, c.customer_id) as customer_id,
        c.email,
        c.display_name,
        c.marketing_state,
        -- PostgreSQL takes five times as long for '{1,20}' as for '+'.
        coalesce(
            c.customer_id ~ '^[0-9]+$' and length(c.customer_id) <= 20, false
        ) as is_in_shopify,
        coalesce(o.lifetime_order_count, 0) as lifetime_order_count,
        coalesce(o.lifetime_minor, 0) as lifetime_minor,
        o.first_order_at,
        o.last_order_at,
        coalesce(o.window_order_count, 0) as window_order_count,
        coalesce(o.window_minor, 0) as window_minor
    from order_figures as o
    full join customers_to_recalculate as c
        on o.tenant_id = c.tenant_id and o.customer_id = c.customer_id
)

select * from final
