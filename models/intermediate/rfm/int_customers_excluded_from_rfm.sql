with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

settings as (
    select * from {{ ref('stg_app__rfm_settings') }}
),

-- Not materialized, so that the planner may choose per use how to read it.
customers as not materialized (
    select * from {{ ref('stg_shopify__customers') }}
),

orders as (
    select * from {{ ref('stg_shopify__orders') }}
),

relay_domains as (
    select * from {{ ref('relay_domains') }}
),

built_settings as (
    select s.*
    from settings as s
    inner join tenants as t on s.tenant_id = t.tenant_id
),

excluded_domains as (
    select
        s.tenant_id,
        r.domain as address_domain
    from built_settings as s
    cross join relay_domains as r

    union distinct

    select
        s.tenant_id,
        excluded_domain as address_domain
    from built_settings as s
    cross join lateral unnest(s.excluded_domains) as excluded_domain
),

listed as (
    select
        s.tenant_id,
        customer_id
    from built_settings as s
    cross join lateral unnest(s.excluded_customer_ids) as customer_id
),

behind_a_domain as (
    select
        c.tenant_id,
        c.customer_id
    from excluded_domains as d
    inner join customers as c
        on d.tenant_id = c.tenant_id and d.address_domain = {{ domain_of('c.email') }}
),

-- Imported orders may name customers that the store never sent: the order's own address serves.
behind_a_domain_of_an_order as (
    select
        o.tenant_id,
        o.customer_id
    from excluded_domains as d
    inner join orders as o
        on d.tenant_id = o.tenant_id and d.address_domain = {{ domain_of('o.customer_email') }}
    left join customers as c on o.tenant_id = c.tenant_id and o.customer_id = c.customer_id
    where o.customer_id is not null and c.email is null
),

final as (
    select * from listed

    union distinct

    select * from behind_a_domain

    union distinct

    select * from behind_a_domain_of_an_order
)

select * from final
