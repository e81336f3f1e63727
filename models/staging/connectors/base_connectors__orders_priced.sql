{{ config(enabled=var('source_layout') != 'native', materialized='ephemeral') }}

with

tenants as (
    select * from {{ ref('base_seeds__tenants') }}
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

source_orders as (
    select * from {{ ref('base_' ~ var('source_layout') ~ '__orders') }}
),

final as (
    select
        t.tenant_id,
        coalesce(e.exponent, 2) as exponent,
        upper(btrim(o.currency)) as currency_code,
        coalesce({{ clean_address('o.customer_email') }}, {{ clean_address('o.email') }})
            as contact_email,
        {{ phone_number("coalesce(nullif(o.customer_phone, ''), o.phone)") }} as contact_phone,
        {%- for amount in order_amounts() %}
        {{ minor_units('o.' ~ amount ~ '_price', 'coalesce(e.exponent, 2)') }}
            as {{ amount }}_minor,
        {%- endfor %}
        o.*
    from source_orders as o
    inner join tenants as t on o.source_schema = t.source_schema
    left join currency_exponents as e on upper(btrim(o.currency)) = e.currency
)

select * from final -- noqa: AM04
