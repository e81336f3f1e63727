with

samples as (
    select * from {{ ref('sample_orders') }}
    where creator_id is not null and customer_id is not null and {{ tenant_filter() }}
),

rfm_settings as (
    select * from {{ ref('stg_app__rfm_settings') }}
),

relay_domains as (
    select * from {{ ref('int_relay_domains_combined') }}
),

addresses as (
    select
        tenant_id,
        creator_id,
        array_agg(known_as) as addresses
    from {{ ref('stg_app__creator_identities') }}
    where kind = 'email'
    group by tenant_id, creator_id
),

-- A connector may book all its buyers on one customer, so these are left out: customers with
-- samples of two creators, behind a relay address, excluded from RFM, or with another address than
-- the creator's.
final as (
    select
        s.tenant_id,
        s.customer_id,
        min(s.creator_id::text)::uuid as creator_id
    from samples as s
    inner join rfm_settings as r on s.tenant_id = r.tenant_id
    left join addresses as a on s.tenant_id = a.tenant_id and s.creator_id = a.creator_id
    where
        not s.customer_id = any(r.excluded_customer_ids)
        and not exists (
            select
            from relay_domains as d
            where
                d.tenant_id = s.tenant_id
                and d.base_domain = {{ base_domain(email_domain('s.customer_email')) }}
                and '.' || {{ email_domain('s.customer_email') }} like d.pattern
        )
    group by s.tenant_id, s.customer_id
    having
        count(distinct s.creator_id) = 1
        and bool_and(
            a.addresses is null
            or coalesce(lower(btrim(s.customer_email)) = any(a.addresses), false)
        )
)

select * from final
