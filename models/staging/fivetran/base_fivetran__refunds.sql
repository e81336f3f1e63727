{{ config(enabled=var('source_layout') == 'fivetran', materialized='ephemeral') }}

with

landed_transactions as (
    {{- union_source_schemas('fivetran_shopify', 'transaction', {
        'order_id': 'id',
        'kind': 'text',
        'status': 'text',
        'currency': 'text',
        'amount': 'number',
    }, required=['order_id', 'kind', 'status', 'amount'], newer_names={
        'currency': 'amount_set_shop_currency_code',
        'amount': 'amount_set_shop_amount',
    }) }}
),

final as (
    select
        source_schema,
        order_id,
        currency,
        amount,
        coalesce(unreadable, {{ missing('amount', 'amount') }}) as problem
    from landed_transactions
    where lower(kind) = 'refund' and lower(status) = 'success'
)

select * from final
