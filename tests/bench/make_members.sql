-- A Shopify segment of so many people, each with an address.
with segment as (
    insert into shopify.cached_segments (tenant_id, segment_id, name, query, synced_at)
    values (%(tenant_id)s, '1', 'Everybody', 'x', now())
    returning tenant_id, segment_id
)

insert into shopify.segment_members (tenant_id, segment_id, customer_id, email)
select
    s.tenant_id,
    s.segment_id,
    n::text as customer_id,
    'jordan' || n || '@mail.example.com' as email
from segment as s
cross join generate_series(1, %(people)s) as n
