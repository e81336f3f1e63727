-- Takes points out of the bucket ahead of the query they are for, even those not there yet, and
-- answers the place in the queue and the wait: until the points are there, and a margin of
-- seconds. A bucket nobody has heard of is taken for the smallest. What others have reserved and
-- not used is still in the bucket, so there is so much less room for points to come back into; who
-- died over it is forgotten when nobody has counted for five minutes.
insert into app.shopify_buckets as b (
    tenant_id, maximum, restore_rate, available, outstanding, reserved, counted_at
)
values (
    %(tenant_id)s,
    %(maximum)s,
    %(restore_rate)s,
    %(maximum)s - least(%(points)s, %(maximum)s),
    least(%(points)s, %(maximum)s),
    least(%(points)s, %(maximum)s),
    clock_timestamp()
)
on conflict (tenant_id) do update set
    available
    = least(
        case
            when excluded.counted_at > b.counted_at + interval '5 minutes' then b.maximum
            else greatest(b.maximum - b.outstanding, 0)
        end,
        b.available
        + greatest(extract(epoch from excluded.counted_at - b.counted_at), 0) * b.restore_rate
    )
    - least(excluded.reserved, b.maximum),
    outstanding
    = case
        when excluded.counted_at > b.counted_at + interval '5 minutes' then 0
        else b.outstanding
    end
    + least(excluded.reserved, b.maximum),
    reserved = b.reserved + least(excluded.reserved, b.maximum),
    counted_at = greatest(b.counted_at, excluded.counted_at)
where b.tenant_id = %(tenant_id)s
returning
    reserved,
    least(%(points)s, maximum) as points,
    greatest(%(margin)s - available / restore_rate, 0) as wait_seconds
