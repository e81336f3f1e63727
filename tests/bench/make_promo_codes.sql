-- Fifty promo codes with 5,000 customers each, and metafields of every scored customer.
with codes as (
    insert into app.promo_codes (
        tenant_id, code, title, percentage, starts_at, segments, discount_id, requests_done,
        applied_revision
    )
    select
        %(tenant_id)s,
        'CODE' || n,
        'Benchmark',
        0.1,
        '2026-01-01',
        array['rfm:champions'],
        'gid://shopify/DiscountCodeNode/' || n,
        1,
        1
    from generate_series(1, 50) as n
    returning promo_code_id
),

targets as (
    insert into app.promo_code_targets (tenant_id, promo_code_id, kind, target_id, state)
    select
        %(tenant_id)s,
        c.promo_code_id,
        'customer',
        n::text,
        'accepted'
    from codes as c
    cross join generate_series(1, 5000) as n
),

switch as (
    insert into app.shopify_metafields (tenant_id, is_enabled, changed_by)
    values (%(tenant_id)s, true, 'benchmark')
)

insert into app.shopify_customer_metafields (
    tenant_id, customer_id, segment, r_score, f_score, m_score, written_at
)
select
    %(tenant_id)s,
    f.customer_id,
    f.segment,
    f.r_score,
    f.f_score,
    f.m_score,
    now()
from marts.customer_facts as f
where f.tenant_id = %(tenant_id)s and f.segment is not null;
