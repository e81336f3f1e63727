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
        o.order_id,
        case when {{ is_sale() }} then o.ordered_at end as sold_at,
        w.as_of,
        w.time_zone
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

final as (
    select
        tenant_id,
        customer_id,
        order_id,
        row_number() over by_customer as order_number,
        {{ days_between(
            'sold_at', 'coalesce(lead(sold_at) over by_customer, as_of)', 'time_zone'
        ) }} as waited_days,
        lead(sold_at) over by_customer is not null as is_reordered,
        {{ days_between('sold_at', 'as_of', 'time_zone') }} as age_days
    from dated
    where sold_at is not null
    window by_customer as (partition by tenant_id, customer_id order by sold_at, order_id)
)

select * from final
