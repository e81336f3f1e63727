with

-- `offset 0` makes PostgreSQL take the domain out of each address once, for several comparisons.
customers as (
    select
        *,
        {{ email_domain('email') }} as email_domain
    from {{ ref('int_customers_given_contact') }}
    offset 0 -- noqa: AM09
),

samples as not materialized (
    select * from {{ ref('int_orders_matched_as_samples') }}
    where {{ tenant_filter() }}
),

settings as (
    select * from {{ ref('stg_app__rfm_settings') }}
),

excluded_domains as (
    select * from {{ ref('int_email_domains_excluded') }}
),

excluded_customers as (
    select distinct
        tenant_id,
        unnest(excluded_customer_ids) as customer_id
    from settings
),

customer_samples as (
    select
        tenant_id,
        customer_id,
        array_agg(order_id order by order_id) as sample_order_ids
    from samples
    where customer_id is not null
    group by tenant_id, customer_id
),

final as (
    select
        k.tenant_id,
        k.customer_id,
        k.email,
        k.phone,
        k.display_name,
        k.marketing_state,
        k.is_in_shopify,
        x.customer_id is not null or d.base_domain is not null as is_excluded_from_rfm,
        k.lifetime_order_count,
        k.lifetime_minor,
        k.first_order_at,
        k.last_order_at,
        k.window_order_count,
        k.window_minor,
        s.sample_order_ids
    from customers as k
    left join customer_samples as s
        on k.tenant_id = s.tenant_id and k.customer_id = s.customer_id
    left join excluded_customers as x
        on k.tenant_id = x.tenant_id and k.customer_id = x.customer_id
    left join excluded_domains as d
        on
            k.tenant_id = d.tenant_id
            and {{ base_domain('k.email_domain') }} = d.base_domain
            and '.' || k.email_domain like any(d.patterns)
)

select * from final
