with

windows as (
    select * from {{ ref('int_windows_built_for_rfm') }}
),

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

facts as (
    select * from {{ ref('customer_facts') }}
    where segment is not null and {{ tenant_filter() }}
),

backfilled as (
    select * from {{ ref('int_customers_backfilled_for_rfm') }}
    where {{ tenant_filter() }}
),

-- Not materialized: the scan of a materialized CTE would keep parallel workers from sharing the
-- comparison of all customers.
recorded_windows as not materialized (
    select
        w.tenant_id,
        w.instants_back
    from windows as w
    inner join tenants as t on w.tenant_id = t.tenant_id
    where w.is_recorded
),

final as (
    select
        f.tenant_id,
        f.customer_id,
        w.instants_back,
        f.segment
    from facts as f
    inner join recorded_windows as w on f.tenant_id = w.tenant_id
    where w.instants_back = 0

    union all

    select
        b.tenant_id,
        b.customer_id,
        w.instants_back,
        b.segment
    from backfilled as b
    inner join recorded_windows as w
        on b.tenant_id = w.tenant_id and b.instants_back = w.instants_back
)

select * from final
