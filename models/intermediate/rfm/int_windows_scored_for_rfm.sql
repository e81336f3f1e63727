-- depends_on: {{ ref('int_customers_scored_by_window') }}

with

windows as (
    select * from {{ ref('int_windows_added_for_rfm') }}
),

final as (
    select
        tenant_id,
        window_days,
        as_of,
        time_zone,
        currency,
        currency_exponent
    from windows
)

select * from final
