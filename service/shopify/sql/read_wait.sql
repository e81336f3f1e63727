-- How long a place in the queue still has to wait, now that those ahead may have given points back.
-- What was reserved behind it does not count. While others have not used what they reserved, the
-- bucket is that much fuller than we count, and points come back only as far as it has room.
select
    case
        when b.maximum - o.points + b.reserved - %(place)s < 0 then %(look_again)s
        else
            greatest(
                %(margin)s
                - (b.available + b.reserved - %(place)s) / b.restore_rate
                - extract(epoch from clock_timestamp() - b.counted_at),
                0
            )
    end as wait_seconds
from app.shopify_buckets as b
cross join lateral (
    select app.points_outstanding(b.outstanding, clock_timestamp()) as points
) as o
where b.tenant_id = %(tenant_id)s
