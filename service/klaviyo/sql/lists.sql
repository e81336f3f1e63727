-- name: list_known_lists
-- The sizes of some lists as counted by Klaviyo, and the segments of each.
with fed as (
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
left join app.klaviyo_list_counts as n on n.tenant_id = %(tenant_id)s and w.list_id = n.list_id
left join fed as f on w.list_id = f.list_id;

-- name: choose_lists_to_count
-- Which of some lists to read the size of now: those without one, then those whose size is oldest
-- and older than ten minutes. Only a few, and in any minute no more than leaves room for syncs.
with asked as (
    select
        w.list_id,
        k.counted_at
    from unnest(%(list_ids)s::text[]) as w (list_id)
    left join app.klaviyo_list_counts as k on k.tenant_id = %(tenant_id)s and w.list_id = k.list_id
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
