{%- set facts = previous_build_of('customer_facts') if has_change_tracking() -%}

-- depends_on: {{ ref('int_orders_matched_as_samples') }}

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

-- `offset 0` forces one index lookup per tenant. The planner estimates that a third of the table
-- follows a watermark, and would scan all of it.
changed_orders as (
    select
        s.tenant_id,
        o.customer_id,
        o.former_customer_ids
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

orders_crossing_window as (
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

{% if facts -%}
samples as (
    select * from {{ ref('int_orders_matched_as_samples') }}
    where {{ tenant_filter() }}
),

current_samples as (
    select
        s.tenant_id,
        s.customer_id,
        array_agg(s.order_id order by s.order_id) as sample_order_ids
    from samples as s
    inner join windows as w on s.tenant_id = w.tenant_id
    where s.customer_id is not null
    group by s.tenant_id, s.customer_id
),

previous_samples as (
    select
        f.tenant_id,
        f.customer_id,
        f.sample_order_ids
    from {{ facts }} as f
    inner join windows as w on f.tenant_id = w.tenant_id
    where f.sample_order_ids is not null and {{ tenant_filter('f.tenant_id') }}
),

-- A change of settings adds and removes samples without any change of the orders.
changed_samples as (
    select
        coalesce(s.tenant_id, k.tenant_id) as tenant_id,
        coalesce(s.customer_id, k.customer_id) as customer_id
    from current_samples as s
    full join previous_samples as k on s.tenant_id = k.tenant_id and s.customer_id = k.customer_id
    where s.sample_order_ids is distinct from k.sample_order_ids
),

{% endif -%}
changed_customers as (
    select
        tenant_id,
        customer_id
    from changed_orders

    union distinct

    select
        tenant_id,
        unnest(former_customer_ids) as customer_id
    from changed_orders

    union distinct

    select
        tenant_id,
        customer_id
    from orders_crossing_window

    union distinct

    select
        tenant_id,
        customer_id
    from changed_customer_records
    {%- if facts %}

    union distinct

    select
        tenant_id,
        customer_id
    from changed_samples
    {%- endif %}
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
