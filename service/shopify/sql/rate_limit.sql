-- name: reserve_points
-- Takes points out of the bucket ahead of the query they are for, even those not there yet, and
-- answers the place in the queue and the wait: until the points are there, and a margin of
-- seconds. A bucket nobody has heard of is taken for the smallest. What others have reserved and
-- not used is still in the bucket, so there is so much less room for points to come back into;
-- of those who died over it, it counts for so many seconds.
insert into app.shopify_buckets as b (
    tenant_id, maximum, restore_rate, available, outstanding, reserved, counted_at
)
values (
    %(tenant_id)s,
    %(maximum)s,
    %(restore_rate)s,
    %(maximum)s - least(%(points)s, %(maximum)s),
    jsonb_build_object(
        least(%(points)s, %(maximum)s)::text,
        jsonb_build_object(
            'points', least(%(points)s, %(maximum)s),
            'until', clock_timestamp() + make_interval(secs => %(counts_for)s)
        )
    ),
    least(%(points)s, %(maximum)s),
    clock_timestamp()
)
on conflict (tenant_id) do update set
    available
    = least(
        b.maximum - app.points_outstanding(b.outstanding, excluded.counted_at),
        b.available
        + greatest(extract(epoch from excluded.counted_at - b.counted_at), 0) * b.restore_rate
    )
    - least(excluded.reserved, b.maximum),
    outstanding
    = coalesce(
        (
            select jsonb_object_agg(r.key, r.value)
            from jsonb_each(b.outstanding) as r
            where (r.value ->> 'until')::timestamptz > excluded.counted_at
        ),
        '{}'
    )
    || jsonb_build_object(
        (b.reserved + least(excluded.reserved, b.maximum))::text,
        jsonb_build_object(
            'points', least(excluded.reserved, b.maximum),
            'until', excluded.counted_at + make_interval(secs => %(counts_for)s)
        )
    ),
    reserved = b.reserved + least(excluded.reserved, b.maximum),
    counted_at = greatest(b.counted_at, excluded.counted_at)
where b.tenant_id = %(tenant_id)s
returning
    reserved as place,
    least(%(points)s, maximum) as points,
    greatest(%(margin)s - available / restore_rate, 0) as wait_seconds;

-- name: settle_points
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
where b.tenant_id = %(tenant_id)s and c.tenant_id = b.tenant_id;

-- name: read_wait
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
where b.tenant_id = %(tenant_id)s;
