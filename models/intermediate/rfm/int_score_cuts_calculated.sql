with

recalculated as (
    select * from {{ ref('int_customers_recalculated') }}
),

previous_facts as not materialized (
    {{ previous_customer_facts() }}
),

-- A left join on this flag hashes the few changed customers. With `not exists`, an anti join, the
-- planner would hash all customers.
changed_customers as not materialized (
    select
        tenant_id,
        customer_id,
        true as is_changed
    from {{ ref('int_customers_touched') }}
    where {{ tenant_filter() }}
),

-- Customers recalculated now, and those whose figures of the previous build still hold.
customers_to_score as not materialized (
    select
        tenant_id,
        last_order_at,
        window_order_count,
        window_minor
    from recalculated
    where window_order_count > 0 and not is_excluded_from_rfm

    union all

    select
        k.tenant_id,
        k.last_order_at,
        k.window_order_count,
        k.window_minor
    from previous_facts as k
    left join changed_customers as t
        on k.tenant_id = t.tenant_id and k.customer_id = t.customer_id
    where
        t.is_changed is null
        and k.window_order_count > 0
        and not k.is_excluded_from_rfm
),

-- The k-th cut value is the upper bound of the first k fifths of a tenant's customers.
final as (
    select
        tenant_id,
        {{ cut_values('last_order_at', 'desc') }} as last_order_cuts,
        {{ cut_values('window_order_count', 'asc') }} as frequency_cuts,
        {{ cut_values('window_minor', 'asc') }} as monetary_cuts
    from customers_to_score
    group by tenant_id
)

select * from final
