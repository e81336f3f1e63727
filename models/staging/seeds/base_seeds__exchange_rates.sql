{{ config(enabled=converts_currencies()) }}

with

source as (
    select * from {{ overridable_seed('exchange_rates_by_tenant') }}
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

-- dbt infers an arbitrary type for a column whose cells are all empty.
rates as (
    select
        tenant_id::uuid as tenant_id,
        upper(btrim(from_currency::text)) as from_currency,
        upper(btrim(to_currency::text)) as to_currency,
        starts_on::text::date::timestamp at time zone 'UTC' as starts_at,
        rate::text::numeric as rate
    from source
),

-- assert_exchange_rates_can_apply tells of the rates that are left out here.
final as (
    select
        r.tenant_id,
        r.from_currency,
        r.to_currency,
        r.starts_at,
        r.rate,
        r.rate * 10::numeric ^ (coalesce(t.exponent, 2) - coalesce(f.exponent, 2)) as factor
    from rates as r
    left join currency_exponents as f on r.from_currency = f.currency
    left join currency_exponents as t on r.to_currency = t.currency
    where r.rate > 0 and r.rate <= 1000000
)

select * from final
