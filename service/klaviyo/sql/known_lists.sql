-- What is known of some lists: the newest size, whoever counted, and the segments that feed each.
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
left join fed as f on w.list_id = f.list_id
