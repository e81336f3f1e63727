{%- set of_last_change -%}
from transitions as t
where t.tenant_id = s.tenant_id and t.customer_id = s.customer_id and t.as_of <= s.as_of
order by t.as_of desc
limit 1
{%- endset -%}

with

facts as (
    select * from {{ ref('customer_facts') }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
),

-- If materialized, the whole log would be read for every requested customer.
transitions as not materialized (
    select * from {{ ref('rfm_segment_transitions') }}
),

current_scores as (
    select
        s.tenant_id,
        s.customer_id,
        s.email,
        s.phone,
        s.r_score,
        s.f_score,
        s.m_score,
        s.segment,
        s.window_order_count as frequency_count,
        s.last_order_at,
        b.as_of,
        b.time_zone,
        b.currency,
        {{ major_units('s.window_minor', 'b.currency_exponent') }} as monetary_total,
        {{ days_between('s.last_order_at', 'b.as_of', 'b.time_zone') }} as recency_days
    from facts as s
    inner join builds as b on s.tenant_id = b.tenant_id
    where s.segment is not null
),

-- The two subqueries run only for the requested rows, and only if these columns are selected. A
-- segment that the last transition does not have has changed in the build that is running.
final as (
    select
        -- ids
        s.tenant_id,
        s.customer_id,
        s.email,
        s.phone,

        -- scores
        s.r_score,
        s.f_score,
        s.m_score,
        s.segment,

        -- measures
        s.recency_days,
        s.frequency_count,
        s.monetary_total,
        s.currency,

        -- reasons of the scores
        format(
            case
                when s.r_score = 5
                    then '%s since the last order: fewer than 20 %% of customers ordered later'
                else '%s since the last order: at least %s %% of customers ordered later'
            end,
            {{ pluralize('s.recency_days', 'day') }},
            20 * (5 - s.r_score)
        ) as r_reason,
        format(
            case
                when s.f_score = 1 then '%s: fewer than 20 %% of customers ordered less often'
                else '%s: more than %s %% of customers'
            end,
            {{ pluralize('s.frequency_count', 'order') }},
            20 * (s.f_score - 1)
        ) as f_reason,
        format(
            case
                when s.m_score = 1 then '%s %s: fewer than 20 %% of customers spent less'
                else '%s %s: more than %s %% of customers'
            end,
            s.monetary_total,
            s.currency,
            20 * (s.m_score - 1)
        ) as m_reason,

        -- change
        (
            select case when t.to_segment = s.segment then t.from_segment else t.to_segment end
            {{ of_last_change }}
        ) as previous_segment,
        (
            coalesce(
                (
                    select case when t.to_segment = s.segment then t.as_of end
                    {{ of_last_change }}
                ),
                s.as_of
            ) at time zone s.time_zone
        )::date as segment_changed_on,

        -- timestamps
        s.last_order_at,
        s.as_of as calculated_at
    from current_scores as s
)

select * from final
