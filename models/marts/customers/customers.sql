with

facts as (
    select * from {{ ref('customer_facts') }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
),

shopify_segments as (
    select * from {{ ref('stg_shopify__segments') }}
),

segment_members as (
    select * from {{ ref('stg_shopify__segment_members') }}
),

memberships as (
    select
        m.tenant_id,
        m.customer_id,
        array_agg(s.segment_name order by s.segment_name, s.segment_id) as segment_names
    from segment_members as m
    inner join shopify_segments as s on m.tenant_id = s.tenant_id and m.segment_id = s.segment_id
    group by m.tenant_id, m.customer_id
),

final as (
    select
        -- ids and contact
        f.tenant_id,
        f.customer_id,
        f.email,
        f.phone,
        f.display_name,
        f.marketing_state,
        f.is_excluded_from_rfm,

        -- lifetime
        f.lifetime_order_count,
        {{ major_units('f.lifetime_minor', 'b.currency_exponent') }} as lifetime_total,
        f.first_order_at,
        f.last_order_at,

        -- RFM window; zero for excluded customers
        case when f.is_excluded_from_rfm then 0 else f.window_order_count end as window_order_count,
        {{ major_units(
            'case when f.is_excluded_from_rfm then 0 else f.window_minor end', 'b.currency_exponent'
        ) }} as window_total,
        f.r_score,
        f.f_score,
        f.m_score,
        f.segment as rfm_segment,

        -- segments and samples
        coalesce(m.segment_names, '{}') as shopify_segments,
        coalesce(cardinality(f.sample_order_ids), 0) as sample_count,
        b.currency,

        -- timestamps
        b.as_of as calculated_at
    from facts as f
    inner join builds as b on f.tenant_id = b.tenant_id
    left join memberships as m on f.tenant_id = m.tenant_id and f.customer_id = m.customer_id
)

select * from final
