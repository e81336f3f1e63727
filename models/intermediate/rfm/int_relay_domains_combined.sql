with

relay_domains as (
    select * from {{ ref('relay_domains') }}
),

settings as (
    select * from {{ ref('stg_app__rfm_settings') }}
),

rules as (
    select
        s.tenant_id,
        r.domain as relay_domain
    from settings as s
    cross join relay_domains as r

    union distinct

    select
        s.tenant_id,
        lower(btrim(added.relay_domain)) as relay_domain
    from settings as s
    cross join lateral unnest(s.relay_domains) as added (relay_domain)
    where added.relay_domain is not null
),

-- The leading dot makes a rule match whole parts of a domain: its own and those of subdomains.
final as (
    select
        tenant_id,
        relay_domain,
        {{ base_domain('relay_domain') }} as base_domain,
        '%.' || {{ domain_pattern('relay_domain') }} as pattern
    from rules
)

select * from final
