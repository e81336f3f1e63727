{{ config(enabled=var('use_service_schemas')) }}

with

profiles as (
    select * from {{ ref('stg_app__klaviyo_list_profiles') }}
),

-- Of several customers with one address, the first.
addresses as (
    select
        tenant_id,
        lower(email) as email,
        min(customer_id) as customer_id
    from {{ ref('customer_facts') }}
    where email is not null
    group by tenant_id, lower(email)
),

final as (
    select
        p.tenant_id,
        p.list_id,
        p.profile_id,
        p.email,
        p.joined_at,
        a.customer_id
    from profiles as p
    left join addresses as a on p.tenant_id = a.tenant_id and p.email = a.email
)

select * from final
