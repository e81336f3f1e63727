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
        {{ uuid_or_null('tenant_id::text') }} as tenant_id,
        upper(btrim(from_currency::text)) as from_currency,
        upper(btrim(to_currency::text)) as to_currency,
        {{ time_or_null('left(btrim(starts_on::text), 10)') }} as starts_at,
        {{ number_or_null('rate::text') }} as rate
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
    where
        r.rate > 0
        and r.rate <= 1000000
        and r.starts_at is not null
        and r.tenant_id is not null
)

select * from final
