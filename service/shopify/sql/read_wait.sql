-- How long a place in the queue still has to wait, now that those ahead may have given points back.
-- What was reserved behind it does not count.
select
    greatest(
        %(margin)s
        - (available + reserved - %(place)s) / restore_rate
        - extract(epoch from clock_timestamp() - counted_at),
        0
    ) as wait_seconds
from app.shopify_buckets
where tenant_id = %(tenant_id)s
