{%- set figures -%}
f.lifetime_order_count,
        {{ major_units('f.lifetime_minor', 'b.currency_exponent') }} as lifetime_total,
        f.last_order_at,
        case when f.is_excluded_from_rfm then 0 else f.window_order_count end as window_order_count,
        {{ major_units(
            'case when f.is_excluded_from_rfm then 0 else f.window_minor end', 'b.currency_exponent'
        ) }} as window_total,
        b.currency,
        f.r_score,
        f.f_score,
        f.m_score,
        f.segment as rfm_segment,
        cardinality(f.sample_order_ids) as sample_count
{%- endset -%}

-- Readers ask for one segment of one tenant: nothing is materialized, and a filter on `source`
-- leaves out the other branches.
with

facts as not materialized (
    select * from {{ ref('customer_facts') }}
),

builds as not materialized (
    select * from {{ ref('rfm_builds') }}
),

transitions as not materialized (
    select * from {{ ref('rfm_segment_transitions') }}
),

members_in_shopify as (
    select * from {{ ref('stg_shopify__segment_members') }}
),

{% if var('use_service_schemas') -%}
profiles as (
    select * from {{ ref('int_list_profiles_matched_to_customers') }}
),

{% endif -%}
-- The last change of a customer who is being moved by a running build leads to another segment.
final as (
    select
        f.tenant_id,
        'rfm' as source, -- noqa: RF04
        f.segment as segment_key,
        f.customer_id as member_id,
        f.customer_id,
        null as profile_id,
        f.email,
        f.phone,
        f.display_name,
        f.marketing_state,
        {{ figures }},
        (
            select case when t.to_segment = f.segment then t.as_of end
            from transitions as t
            where t.tenant_id = f.tenant_id and t.customer_id = f.customer_id
            order by t.as_of desc
            limit 1
        ) as in_segment_since
    from facts as f
    left join builds as b on f.tenant_id = b.tenant_id
    where f.segment is not null

    union all

    select
        m.tenant_id,
        'shopify' as source, -- noqa: RF04
        m.segment_id as segment_key,
        m.customer_id as member_id,
        m.customer_id,
        null as profile_id,
        m.email,
        f.phone,
        m.display_name,
        m.marketing_state,
        {{ figures }},
        m.entered_at as in_segment_since
    from members_in_shopify as m
    left join facts as f on m.tenant_id = f.tenant_id and m.customer_id = f.customer_id
    left join builds as b on m.tenant_id = b.tenant_id

    {%- if var('use_service_schemas') %}

    union all

    select
        p.tenant_id,
        'klaviyo' as source, -- noqa: RF04
        p.list_id as segment_key,
        p.profile_id as member_id,
        p.customer_id,
        p.profile_id,
        p.email,
        f.phone,
        f.display_name,
        f.marketing_state,
        {{ figures }},
        p.joined_at as in_segment_since
    from profiles as p
    left join facts as f on p.tenant_id = f.tenant_id and p.customer_id = f.customer_id
    left join builds as b on p.tenant_id = b.tenant_id
    {%- endif %}
)

select * from final
