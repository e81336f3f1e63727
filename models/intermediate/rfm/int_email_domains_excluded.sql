with

settings as (
    select * from {{ ref('stg_app__rfm_settings') }}
),

relay_domains as (
    select * from {{ ref('int_relay_domains_combined') }}
),

-- Relay domains include their subdomains. The tenant's excluded domains do not.
patterns as (
    select
        tenant_id,
        base_domain,
        pattern
    from relay_domains

    union all

    select
        s.tenant_id,
        {{ base_domain('excluded.domain') }} as base_domain,
        '.' || {{ domain_pattern('excluded.domain') }} as pattern
    from settings as s
    cross join lateral unnest(s.excluded_domains) as excluded (domain)
),

-- One row per base domain, so that no customer matches twice.
final as (
    select
        tenant_id,
        base_domain,
        array_agg(pattern) as patterns
    from patterns
    group by tenant_id, base_domain
)

select * from final
