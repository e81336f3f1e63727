with

currencies as (
    select * from {{ ref('int_tenants_given_currency') }}
),

-- Without additional_window_days, on which the figures below do not depend.
settings as (
    select
        tenant_id,
        window_days,
        time_zone,
        minimum_minor,
        is_sample_counted,
        excluded_customer_ids,
        excluded_domains,
        relay_domains
    from {{ ref('stg_app__rfm_settings') }}
),

relay_domains as (
    select * from {{ ref('relay_domains') }}
),

-- Segments of the rule in the order of their scores. A cell that the monetary score does not split
-- is one entry.
segment_rules as (
    select
        tenant_id,
        array_agg(
            case
                when highest_m_score > lowest_m_score then segment
                else segment || ':' || lowest_m_score
            end
            order by r_score, f_score, lowest_m_score
        ) as segments
    from {{ ref('int_scores_mapped_to_segments') }}
    group by tenant_id
),

{% if converts_currencies() -%}
exchange_rates as (
    select * from {{ ref('base_seeds__exchange_rates') }}
),

{% endif -%}
-- Hash everything that a customer's figures depend on, including the rule itself, except the start
-- and end of the window.
final as (
    select
        s.*,
        c.currency,
        c.currency_exponent,
        md5(
            row(
                '{{ rfm_rule_hash() }}',
                s.*,
                c.currency,
                (select array_agg(r.domain order by r.domain) from relay_domains as r),
                {%- if converts_currencies() %}
                (
                    select array_agg(x order by x.from_currency, x.starts_at)
                    from exchange_rates as x
                    where x.tenant_id = s.tenant_id
                ),
                {%- endif %}
                g.segments
            )::text
        ) as settings_key
    from currencies as c
    inner join settings as s on c.tenant_id = s.tenant_id
    left join segment_rules as g on c.tenant_id = g.tenant_id
)

select * from final
