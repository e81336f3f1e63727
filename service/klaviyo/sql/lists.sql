-- name: list_known_lists
-- The newest known size of some lists, whether read here or by a sync, and the segments of each.
with counted as (
    select
        k.list_id,
        k.profile_count,
        k.counted_at
    from app.klaviyo_list_counts as k
    where k.tenant_id = %(tenant_id)s

    union all

    select
        c.list_id,
        c.remote_members as profile_count,
        c.last_synced_at as counted_at
    from app.klaviyo_sync_configs as c
    where
        c.tenant_id = %(tenant_id)s
        and c.remote_members is not null
        and c.last_synced_at is not null
),

newest as (
    select distinct on (k.list_id)
        k.list_id,
        k.profile_count,
        k.counted_at
    from counted as k
    order by k.list_id asc, k.counted_at desc
),

fed as (
    select
        c.list_id,
        array_agg(c.segment_key order by c.segment_key) as segment_keys
    from app.klaviyo_sync_configs as c
    where c.tenant_id = %(tenant_id)s
    group by c.list_id
)

select
    w.list_id,
    n.profile_count,
    n.counted_at,
    f.segment_keys
from unnest(%(list_ids)s::text[]) as w (list_id)
left join newest as n on w.list_id = n.list_id
left join fed as f on w.list_id = f.list_id;

-- name: choose_lists_to_count
-- Which of some lists to read the size of now: those without one, then those whose size is oldest
-- and older than ten minutes; a sync's count is one, too. Only a few, and in any minute no more
-- than leaves room for syncs.
with counted as (
    select
        k.list_id,
        k.counted_at
    from app.klaviyo_list_counts as k
    where k.tenant_id = %(tenant_id)s

    union all

    select
        c.list_id,
        c.last_synced_at as counted_at
    from app.klaviyo_sync_configs as c
    where c.tenant_id = %(tenant_id)s and c.remote_members is not null
),

asked as (
    select
        w.list_id,
        max(k.counted_at) as counted_at
    from unnest(%(list_ids)s::text[]) as w (list_id)
    left join counted as k on w.list_id = k.list_id
    group by w.list_id
),

room as (
    select greatest(%(most_a_minute)s::int - count(*), 0) as places
    from app.klaviyo_list_counts as k
    where k.tenant_id = %(tenant_id)s and k.counted_at > now() - interval '1 minute'
)

select a.list_id
from asked as a
where a.counted_at is null or a.counted_at < now() - interval '10 minutes'
order by a.counted_at asc nulls first, a.list_id asc
limit (select least(r.places, %(most)s::int) from room as r);

-- name: record_count
-- How many profiles a list has, as just read from Klaviyo.
insert into app.klaviyo_list_counts as k (tenant_id, list_id, profile_count, counted_at)
values (%(tenant_id)s, %(list_id)s, %(profile_count)s, now())
on conflict (tenant_id, list_id) do update set
    profile_count = excluded.profile_count,
    counted_at = excluded.counted_at
where k.tenant_id = %(tenant_id)s;
