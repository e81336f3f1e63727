-- Gives back what a query was reserved and did not cost, and believes Shopify when it tells of
-- fewer points than we count. It cannot tell of more: it knows nothing of what others reserved.
with counted as (
    select
        tenant_id,
        -- A bucket of another size was as full as this one.
        least(
            maximum - app.points_outstanding(outstanding, clock_timestamp()),
            available
            + greatest(extract(epoch from clock_timestamp() - counted_at), 0) * restore_rate
        )
        + %(points)s
        - %(cost)s
        + coalesce(%(maximum)s - maximum, 0) as available
    from app.shopify_buckets
    where tenant_id = %(tenant_id)s
    for update
)

update app.shopify_buckets as b
set
    maximum = coalesce(%(maximum)s, b.maximum),
    restore_rate = coalesce(%(restore_rate)s, b.restore_rate),
    available = least(c.available, coalesce(%(available)s, b.maximum)),
    outstanding = b.outstanding - %(place)s::double precision::text,
    counted_at = clock_timestamp()
from counted as c
where b.tenant_id = %(tenant_id)s and c.tenant_id = b.tenant_id
