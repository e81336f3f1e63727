with

windows as (
    select * from {{ ref('int_windows_built_for_rfm') }}
    where instants_back = 0 and is_mark_valid and {{ tenant_filter() }}
),

{% if has_change_tracking() -%}
builds as (
    select * from {{ ref('rfm_builds') }}
),

order_changes as not materialized (
    select * from {{ ref('stg_shopify__order_changes') }}
),

customer_changes as (
    select * from {{ ref('stg_shopify__customer_changes') }}
),

-- A change of settings adds and removes samples without any change of the orders.
customers_with_other_samples as (
    select * from {{ ref('int_customers_given_other_samples') }}
),

watermarks as (
    select
        w.tenant_id,
        b.changes_from,
        array[
            tstzrange(
                least(b.window_starts_at, w.window_starts_at),
                greatest(b.window_starts_at, w.window_starts_at)
            ),
            tstzrange(least(b.as_of, w.as_of), greatest(b.as_of, w.as_of))
        ] as shifted_ranges
    from windows as w
    inner join builds as b on w.tenant_id = b.tenant_id
),

-- The customers of changed orders, now and before. `offset 0` forces one index lookup per tenant.
-- The planner estimates that a third of the table follows a watermark, and would scan all of it.
customers_of_changed_orders as (
    select
        s.tenant_id,
        unnest(o.former_customer_ids || o.customer_id) as customer_id
    from watermarks as s
    cross join lateral (
        select
            c.customer_id,
            c.former_customer_ids
        from order_changes as c
        where c.tenant_id = s.tenant_id and c.landed_xid >= s.changes_from
        offset 0 -- noqa: AM09
    ) as o
),

customers_of_orders_crossing_window as (
    select
        s.tenant_id,
        o.customer_id
    from watermarks as s
    cross join lateral unnest(s.shifted_ranges) as e (shifted_range)
    cross join lateral (
        select c.customer_id
        from order_changes as c
        where
            c.tenant_id = s.tenant_id
            and c.ordered_at >= lower(e.shifted_range)
            and c.ordered_at < upper(e.shifted_range)
        offset 0 -- noqa: AM09
    ) as o
),

changed_customer_records as (
    select
        s.tenant_id,
        c.customer_id
    from watermarks as s
    cross join lateral (
        select k.customer_id
        from customer_changes as k
        where k.tenant_id = s.tenant_id and k.landed_xid >= s.changes_from
        offset 0 -- noqa: AM09
    ) as c
),

changed_customers as (
    select * from customers_of_changed_orders

    union distinct

    select * from customers_of_orders_crossing_window

    union distinct

    select * from changed_customer_records

    union distinct

    select * from customers_with_other_samples
),
{%- else -%}
changed_customers as (
    select
        tenant_id,
        null::text as customer_id
    from windows
),
{%- endif %}

final as (
    select
        tenant_id,
        customer_id
    from changed_customers
    where customer_id is not null
)

select * from final
