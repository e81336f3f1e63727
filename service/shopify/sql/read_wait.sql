-- How long a place in the queue still has to wait, now that those ahead may have given points back.
-- What was reserved behind it does not count. While others have not used what they reserved, the
-- bucket is that much fuller than we count, and points come back only as far as it has room.
select
    case
        when
            b.maximum - app.points_outstanding(b.outstanding, clock_timestamp())
            < %(place)s - b.reserved
            then %(look_again)s
        else
            greatest(
                %(margin)s
                - (b.available + b.reserved - %(place)s) / b.restore_rate
                - extract(epoch from clock_timestamp() - b.counted_at),
                0
            )
    end as wait_seconds
from app.shopify_buckets as b
where b.tenant_id = %(tenant_id)s
