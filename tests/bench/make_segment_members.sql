-- One Shopify segment with every third customer of a tenant, and its size as its sync records it.
with segment as (
    insert into shopify.cached_segments (
        tenant_id, segment_id, name, query, member_count, synced_at
    )
    select
        c.tenant_id,
        '1',
        'Every third',
        'number_of_orders > 0',
        count(*) / 3,
        timestamptz '2026-07-01 00:00+00'
    from shopify.customers as c
    where c.tenant_id = %(tenant_id)s
    group by c.tenant_id
),

size as (
    insert into app.segment_sizes (tenant_id, segment_id, recorded_on, members, emailable)
    select
        c.tenant_id,
        'shopify:1',
        date '2026-07-01',
        count(*),
        count(*) filter (where c.marketing_state = 'SUBSCRIBED')
    from shopify.customers as c
    where c.tenant_id = %(tenant_id)s and right(c.customer_id, 1) in ('1', '4', '7')
    group by c.tenant_id
)

insert into shopify.segment_members (
    tenant_id, segment_id, customer_id, email, display_name, marketing_state
)
select
    c.tenant_id,
    '1',
    c.customer_id,
    c.email,
    c.display_name,
    c.marketing_state
from shopify.customers as c
where c.tenant_id = %(tenant_id)s and right(c.customer_id, 1) in ('1', '4', '7');
