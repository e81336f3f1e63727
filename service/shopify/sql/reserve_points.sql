-- Takes points out of the bucket ahead of the query they are for, even those that are not there yet,
-- and answers the place in the queue. A bucket nobody has heard of is taken for the smallest.
insert into app.shopify_buckets as b (
    tenant_id, maximum, restore_rate, available, reserved, counted_at
)
values (
    %(tenant_id)s,
    %(maximum)s,
    %(restore_rate)s,
    %(maximum)s - least(%(points)s, %(maximum)s),
    least(%(points)s, %(maximum)s),
    clock_timestamp()
)
on conflict (tenant_id) do update set
    available
    = least(
        b.maximum,
        b.available
        + greatest(extract(epoch from excluded.counted_at - b.counted_at), 0) * b.restore_rate
    )
    - least(excluded.reserved, b.maximum),
    reserved = b.reserved + least(excluded.reserved, b.maximum),
    counted_at = greatest(b.counted_at, excluded.counted_at)
where b.tenant_id = %(tenant_id)s
returning
    reserved,
    least(%(points)s, maximum) as points,
    greatest(-available, 0) / restore_rate as wait_seconds
