{%- set survival = previous_build_of('rfm_survival') if not flags.FULL_REFRESH -%}

with

windows as not materialized (
    select * from {{ ref('int_windows_built_for_rfm') }}
    where instants_back = 0 and {{ tenant_filter() }}
),

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
    where {{ tenant_filter() }}
),

samples as (
    select * from {{ ref('int_orders_matched_as_samples') }}
    where {{ tenant_filter() }}
),

customers as not materialized (
    select * from {{ ref('customer_facts') }}
    where {{ tenant_filter() }}
),

-- `offset 0` makes PostgreSQL ask once per tenant, before it reads any order. On most days no
-- tenant is due.
due_windows as (
    select w.*
    from windows as w
    {%- if survival %}
    where
        not exists (
            select from {{ survival }} as k
            where k.tenant_id = w.tenant_id and {{ is_survival_current('k', 'w') }}
        )
    {%- endif %}
    offset 0 -- noqa: AM09
),

excluded_customers as (
    select
        tenant_id,
        customer_id
    from customers
    where is_excluded_from_rfm
),

-- As a column, because the planner expects almost no order to meet the rule as a condition, and
-- would sort millions of them on one processor. Excluded customers are hashed once, whereas a join
-- would look up the customer of every order.
dated as (
    select
        o.tenant_id,
        o.customer_id,
        case when {{ is_sale() }} then o.ordered_at end as sold_at,
        o.ordered_at at time zone w.time_zone as sold_at_local,
        w.as_of at time zone w.time_zone as as_of_local
    from orders as o
    inner join due_windows as w on o.tenant_id = w.tenant_id
    left join samples as s on o.tenant_id = s.tenant_id and o.order_id = s.order_id
    where
        o.customer_id is not null
        and (o.tenant_id, o.customer_id) not in (
            select
                x.tenant_id,
                x.customer_id
            from excluded_customers as x
        )
    offset 0 -- noqa: AM09
),

-- Customers come before tenants in the partition, and so in its sort: PostgreSQL compares the first
-- bytes of the first column, and tenants are few.
ordered as (
    select
        tenant_id,
        customer_id,
        row_number() over by_customer as order_number,
        sold_at_local,
        lead(sold_at_local) over by_customer as next_sold_at_local,
        as_of_local
    from dated
    where sold_at is not null
    window by_customer as (partition by customer_id, tenant_id order by sold_at)
),

final as (
    select
        tenant_id,
        customer_id,
        order_number,
        extract(
            day from coalesce(next_sold_at_local, as_of_local) - sold_at_local
        )::int as waited_days,
        next_sold_at_local is not null as is_reordered,
        extract(day from as_of_local - sold_at_local)::int as age_days
    from ordered
)

select * from final
