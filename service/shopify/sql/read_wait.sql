-- How long a place in the queue still has to wait, now that those ahead may have given points back.
-- What was reserved behind it does not count.
select
    greatest(
        -(
            available
            + reserved
            - %(place)s
            + extract(epoch from clock_timestamp() - counted_at) * restore_rate
        ),
        0
    )
    / restore_rate as wait_seconds
from app.shopify_buckets
where tenant_id = %(tenant_id)s
