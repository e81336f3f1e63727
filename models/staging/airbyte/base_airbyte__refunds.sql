{{ config(enabled=var('source_layout') == 'airbyte', materialized='ephemeral') }}

with

orders as (
    select * from {{ ref('base_airbyte__orders') }}
),

landed_refunds as (
    select
        o.source_schema,
        o.id as order_id,
        t.transaction ->> 'currency' as currency,
        t.transaction ->> 'amount' as amount_text,
        {{ number_or_null("(t.transaction ->> 'amount')") }} as amount
    from orders as o
    cross join lateral {{ json_objects('o.refunds', '$[*].transactions[*]') }} as t (transaction)
    where
        lower(t.transaction ->> 'kind') = 'refund'
        and lower(t.transaction ->> 'status') = 'success'
),

final as (
    select
        *,
        case
            when amount is null
                then {{ missing_or_unreadable('amount_text', 'amount', 'number') }}
        end as problem
    from landed_refunds
)

select * from final
