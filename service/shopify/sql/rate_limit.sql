-- name: reserve_points
-- Reserves points ahead of a query, even if they are not restored yet. Returns the place in the
-- queue and the seconds until the points are there, plus a margin. An unknown bucket is taken for
-- the smallest. Points that other processes reserved and have not used are still in the bucket, so
-- that much less can be restored; reservations that are never settled count for a limited time.
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
-- Gives back the points that a query reserved and did not cost. If Shopify reports fewer points
-- than counted, its number holds; not if it reports more, because it does not know what others
-- reserved.
with counted as (
    select
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
where b.tenant_id = %(tenant_id)s;

-- name: read_wait
-- How long a place in the queue still has to wait, now that queries ahead may have given points
-- back. Reservations behind it do not count. Reserved points that others have not used fill the
-- bucket, and points are restored only up to its size.
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
