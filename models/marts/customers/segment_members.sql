{%- set facts_columns = [
    'f.phone', 'f.lifetime_order_count', 'f.lifetime_minor', 'f.last_order_at',
    'case when f.is_excluded_from_rfm then 0 else f.window_order_count end as window_order_count',
    'case when f.is_excluded_from_rfm then 0 else f.window_minor end as window_minor',
    'f.r_score', 'f.f_score', 'f.m_score',
    'f.segment as rfm_segment', 'cardinality(f.sample_order_ids) as sample_count',
] | join(',\n        ') -%}
-- Readers ask for one segment of one tenant: nothing is materialized, and a filter on `source`
-- leaves out the other branches.
with

facts as not materialized (
    select * from {{ ref('customer_facts') }}
),

builds as (
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
    select * from {{ ref('stg_app__klaviyo_list_profiles') }}
),

-- Of several customers with one address, the first.
addresses as (
    select
        tenant_id,
        lower(email) as email,
        min(customer_id) as customer_id
    from facts
    where email is not null
    group by tenant_id, lower(email)
),

{% endif -%}
-- The last change of a customer who is being moved by a running build leads to another segment.
members as (
    select
        f.tenant_id,
        'rfm' as source, -- noqa: RF04
        f.segment as segment_key,
        f.customer_id as member_id,
        f.customer_id,
        null as profile_id,
        f.email,
        f.display_name,
        f.marketing_state,
        (
            select case when t.to_segment = f.segment then t.as_of end
            from transitions as t
            where t.tenant_id = f.tenant_id and t.customer_id = f.customer_id
            order by t.as_of desc
            limit 1
        ) as in_segment_since,
        {{ facts_columns }}
    from facts as f
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
        m.display_name,
        m.marketing_state,
        m.entered_at as in_segment_since,
        {{ facts_columns }}
    from members_in_shopify as m
    left join facts as f on m.tenant_id = f.tenant_id and m.customer_id = f.customer_id

    {%- if var('use_service_schemas') %}

    union all

    select
        p.tenant_id,
        'klaviyo' as source, -- noqa: RF04
        p.list_id as segment_key,
        p.profile_id as member_id,
        a.customer_id,
        p.profile_id,
        p.email,
        f.display_name,
        f.marketing_state,
        p.joined_at as in_segment_since,
        {{ facts_columns }}
    from profiles as p
    left join addresses as a on p.tenant_id = a.tenant_id and p.email = a.email
    left join facts as f on a.tenant_id = f.tenant_id and a.customer_id = f.customer_id
    {%- endif %}
),

final as (
    select
        -- ids
        m.tenant_id,
        m.source,
        m.segment_key,
        m.member_id,
        m.customer_id,
        m.profile_id,

        -- contact
        m.email,
        m.phone,
        m.display_name,
        m.marketing_state,

        -- lifetime
        m.lifetime_order_count,
        {{ major_units('m.lifetime_minor', 'b.currency_exponent') }} as lifetime_total,
        m.last_order_at,

        -- RFM window
        m.window_order_count,
        {{ major_units('m.window_minor', 'b.currency_exponent') }} as window_total,
        b.currency,
        m.r_score,
        m.f_score,
        m.m_score,
        m.rfm_segment,

        -- samples
        m.sample_count,

        -- timestamps
        m.in_segment_since
    from members as m
    left join builds as b on m.tenant_id = b.tenant_id
)

select * from final
