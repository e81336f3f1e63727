{%- set facts = as_last_built('customer_facts') if are_changes_known() -%}

-- depends_on: {{ ref('int_orders_matched_as_samples') }}

with

windows as (
    select * from {{ ref('int_windows_built_for_rfm') }}
    where instants_back = 0 and is_mark_valid and {{ of_built_tenants() }}
),

{% if are_changes_known() -%}
builds as (
    select * from {{ ref('rfm_builds') }}
),

order_changes as not materialized (
    select * from {{ ref('stg_shopify__order_changes') }}
),

customer_changes as (
    select * from {{ ref('stg_shopify__customer_changes') }}
),

since as (
    select
        w.tenant_id,
        b.changes_from,
        array[
            tstzrange(
                least(b.window_starts_at, w.window_starts_at),
                greatest(b.window_starts_at, w.window_starts_at)
            ),
            tstzrange(least(b.as_of, w.as_of), greatest(b.as_of, w.as_of))
        ] as moved_ends
    from windows as w
    inner join builds as b on w.tenant_id = b.tenant_id
),

-- `offset 0` keeps these look-ups what they are, one per tenant in an index. The planner takes the
-- few rows after a mark for a third of the table and would read all of it.
orders_changed as (
    select
        s.tenant_id,
        o.customer_id,
        o.former_customer_ids
    from since as s
    cross join lateral (
        select
            c.customer_id,
            c.former_customer_ids
        from order_changes as c
        where c.tenant_id = s.tenant_id and c.landed_xid >= s.changes_from
        offset 0 -- noqa: AM09
    ) as o
),

orders_passed_by as (
    select
        s.tenant_id,
        o.customer_id
    from since as s
    cross join lateral unnest(s.moved_ends) as e (moved_end)
    cross join lateral (
        select c.customer_id
        from order_changes as c
        where
            c.tenant_id = s.tenant_id
            and c.ordered_at >= lower(e.moved_end)
            and c.ordered_at < upper(e.moved_end)
        offset 0 -- noqa: AM09
    ) as o
),

customers_changed as (
    select
        s.tenant_id,
        c.customer_id
    from since as s
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
    where {{ of_built_tenants() }}
),

samples_of_customers as (
    select
        s.tenant_id,
        s.customer_id,
        array_agg(s.order_id order by s.order_id) as sample_order_ids
    from samples as s
    inner join windows as w on s.tenant_id = w.tenant_id
    where s.customer_id is not null
    group by s.tenant_id, s.customer_id
),

known_samples as (
    select
        f.tenant_id,
        f.customer_id,
        f.sample_order_ids
    from {{ facts }} as f
    inner join windows as w on f.tenant_id = w.tenant_id
    where f.sample_order_ids is not null and {{ of_built_tenants('f.tenant_id') }}
),

-- Samples come and go with the settings, without any change of the orders.
samples_changed as (
    select
        coalesce(s.tenant_id, k.tenant_id) as tenant_id,
        coalesce(s.customer_id, k.customer_id) as customer_id
    from samples_of_customers as s
    full join known_samples as k on s.tenant_id = k.tenant_id and s.customer_id = k.customer_id
    where s.sample_order_ids is distinct from k.sample_order_ids
),

{% endif -%}
touched as (
    select
        tenant_id,
        customer_id
    from orders_changed

    union distinct

    select
        tenant_id,
        unnest(former_customer_ids) as customer_id
    from orders_changed

    union distinct

    select
        tenant_id,
        customer_id
    from orders_passed_by

    union distinct

    select
        tenant_id,
        customer_id
    from customers_changed
    {%- if facts %}

    union distinct

    select
        tenant_id,
        customer_id
    from samples_changed
    {%- endif %}
),
{%- else -%}
touched as (
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
    from touched
    where customer_id is not null
)

select
    tenant_id,
    customer_id
from final
