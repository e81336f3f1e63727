-- A rate that applies to no order would leave orders out without a word: one that is no positive
-- number up to a million, of the same currency on both sides, or to another currency than the
-- tenant's. It is left out and reported, and does not stop the build of the other tenants.
{{ config(enabled=converts_currencies(), severity='warn') }}

with

rates as (
    select
        {{ uuid_or_null('tenant_id::text') }} as tenant_id,
        upper(btrim(from_currency::text)) as from_currency,
        upper(btrim(to_currency::text)) as to_currency,
        {{ time_or_null('left(btrim(starts_on::text), 10)') }} as starts_at,
        {{ number_or_null('rate::text') }} as rate
    from {{ overridable_seed('exchange_rates_by_tenant') }}
),

tenants as (
    select * from {{ ref('stg_app__tenants') }}
),

assessed as (
    select
        r.tenant_id,
        r.from_currency,
        r.to_currency,
        r.rate,
        case
            when t.tenant_id is null then 'no such tenant'
            when coalesce(r.rate, 0) <= 0 or r.rate > 1000000
                then 'rate is not between 0 and 1000000'
            when r.starts_at is null then 'starts_on is not a date such as 2026-01-31'
            when r.from_currency = r.to_currency then 'both currencies are the same'
            when t.currency <> r.to_currency then 'the currency of the tenant is ' || t.currency
        end as problem
    from rates as r
    left join tenants as t on r.tenant_id = t.tenant_id
)

select * from assessed
where problem is not null
