-- Imported orders may belong to customers that the store never sent. They get the address of their
-- last order that has one, else its phone number, and the name of their last order that has one.
with

customers as (
    select * from {{ ref('int_customers_measured') }}
),

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
    where {{ tenant_filter() }}
),

{% if not are_orders_indexed() -%}
order_contacts as (
    select
        o.tenant_id,
        o.customer_id,
        {{ contact_of_orders() }}
    from customers as k
    inner join orders as o on k.tenant_id = o.tenant_id and k.customer_id = o.customer_id
    where k.email is null or k.display_name is null
    group by o.tenant_id, o.customer_id
),

{% endif -%}
final as (
    select
        k.tenant_id,
        k.customer_id,
        coalesce(k.email, o.customer_email) as email,
        case when k.email is null then o.customer_phone end as phone,
        coalesce(k.display_name, o.customer_name) as display_name,
        k.marketing_state,
        k.is_in_shopify,
        k.lifetime_order_count,
        k.lifetime_minor,
        k.first_order_at,
        k.last_order_at,
        k.window_order_count,
        k.window_minor
    from customers as k
    {%- if are_orders_indexed() %}
    -- One lookup per customer without an address or a name; none for the others.
    cross join lateral ( -- noqa: LT02
        select {{ contact_of_orders() }}
        from orders as o
        where
            (k.email is null or k.display_name is null)
            and o.tenant_id = k.tenant_id
            and o.customer_id = k.customer_id
    ) as o -- noqa: LT02
    {%- else %}
    left join order_contacts as o on k.tenant_id = o.tenant_id and k.customer_id = o.customer_id
    {%- endif %}
)

select * from final
