with

measured as (
    select * from {{ ref('int_rfm_data_measured') }}
),

assessed as (
    select
        *,
        array_remove(
            array[
                case
                    when customers < {{ var('rfm_minimum_customers') }} then 'few_customers'
                end,
                case
                    when history_days < {{ var('rfm_minimum_history_days') }} then 'short_history'
                end,
                case
                    when history_days <= {{ var('rfm_limited_history_days') }}
                        then 'limited_history'
                end,
                case
                    when
                        coalesce(
                            days_without_order > {{ var('rfm_maximum_days_without_order') }}, true
                        )
                        then 'no_recent_order'
                end,
                case
                    when is_tie_above_lowest and tied_share > {{ var('rfm_maximum_tied_share') }}
                        then 'mostly_tied'
                end
            ],
            null
        ) as reasons
    from measured
),

final as (
    select
        tenant_id,
        case when cardinality(reasons) = 0 then 'sufficient' else 'insufficient' end as verdict,
        reasons,
        customers,
        known_customers,
        history_days,
        days_without_order,
        tied_order_count,
        tied_share,
        as_of as calculated_at
    from assessed
)

select * from final
