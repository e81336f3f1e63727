{%- set sale %}
            o.tenant_id,
            o.customer_id,
            w.window_starts_at,
            case when {{ is_sale() }} then o.ordered_at end as sold_at,
            o.net_minor
{%- endset %}

with

windows as not materialized (
    select * from {{ ref('int_windows_built_for_rfm') }}
    where instants_back = 0 and {{ tenant_filter() }}
),

fully_recalculated_windows as not materialized (
    select * from windows
    where is_measured_anew
),

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
    where {{ tenant_filter() }}
),

samples as not materialized (
    select
        tenant_id,
        order_id
    from {{ ref('int_orders_matched_as_samples') }}
    where {{ tenant_filter() }}
),

-- Materialized so that the planner hashes it instead of looking it up once per order.
hashed_samples as materialized (
    select * from samples
),

-- For a fully recalculated tenant, the table may still hold customers that another build found.
changed_customers as not materialized (
    select * from {{ ref('int_customers_touched') }}
    where
        {{ tenant_filter() }}
        and tenant_id not in (select w.tenant_id from fully_recalculated_windows as w)
),

-- In the lateral subquery, `offset 0` forces one index lookup per customer, whatever the planner
-- estimates. At the end of each half, it makes PostgreSQL apply the rule once per order instead of
-- once per figure that is taken from it. The first half reads all orders. Parallel workers can
-- share that scan as long as nothing in it is materialized.
final as (
    (
        select
            {{- sale }}
        from orders as o
        inner join fully_recalculated_windows as w on o.tenant_id = w.tenant_id
        left join samples as s on o.tenant_id = s.tenant_id and o.order_id = s.order_id
        where o.customer_id is not null
        offset 0 -- noqa: AM09
    )

    union all

    (
        select
            {{- sale }}
        from changed_customers as t
        inner join windows as w on t.tenant_id = w.tenant_id
        cross join
            lateral (
                select n.* from orders as n
                where n.tenant_id = t.tenant_id and n.customer_id = t.customer_id
                offset 0 -- noqa: AM09
            ) as o
        left join hashed_samples as s on o.tenant_id = s.tenant_id and o.order_id = s.order_id
        offset 0 -- noqa: AM09
    )
)

select * from final
