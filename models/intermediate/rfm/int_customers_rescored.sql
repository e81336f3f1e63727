with

previous_facts as not materialized (
    {{ previous_customer_facts() }}
),

cut_values as (
    select * from {{ ref('int_score_cuts_calculated') }}
),

-- As in int_score_cuts_calculated: a left join hashes the few changed customers.
changed_customers as not materialized (
    select
        tenant_id,
        customer_id,
        true as is_changed
    from {{ ref('int_customers_touched') }}
    where {{ tenant_filter() }}
),

-- Most scores still hold. Two comparisons with the cut values next to a score are enough to check
-- it. The check runs before changed customers are excluded, which needs a hash lookup per customer.
-- It also runs in parallel workers, which cannot read a CTE, so the cut values are passed as one
-- JSON document.
outdated_scores as (
    select k.*
    from previous_facts as k
    left join
        jsonb_to_recordset((select jsonb_agg(c) from cut_values as c)) as v (
            tenant_id uuid,
            last_order_cuts timestamptz[],
            frequency_cuts int[],
            monetary_cuts numeric[]
        )
        on
            k.tenant_id = v.tenant_id
            and k.window_order_count > 0
            and not k.is_excluded_from_rfm
    where
        (k.r_score is null) <> (v.tenant_id is null)
        or not {{ equals_score_below('k.r_score', 'k.last_order_at', 'v.last_order_cuts') }}
        or not {{ equals_score_above('k.f_score', 'k.window_order_count', 'v.frequency_cuts') }}
        or not {{ equals_score_above('k.m_score', 'k.window_minor', 'v.monetary_cuts') }}
    offset 0 -- noqa: AM09
),

final as (
    select
        k.{{ customer_figures() | join(',\n        k.') }}
    from outdated_scores as k
    left join changed_customers as t
        on k.tenant_id = t.tenant_id and k.customer_id = t.customer_id
    where t.is_changed is null
)

select * from final
