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
    greatest(%(margin)s - available / restore_rate, 0) as wait_seconds
