-- What a configuration would fight with: one of the same segment and list; one of the list with
-- another direction, pulls aside, which only read; lists that would feed each other in a circle.
with recursive others as (
    select
        c.segment_key,
        c.list_id,
        c.direction,
        c.created_at
    from app.klaviyo_sync_configs as c
    where
        c.tenant_id = %(tenant_id)s
        and (%(other_than)s::uuid is null or c.config_id <> %(other_than)s)
),

-- Every list that the new one's list feeds, by whatever others.
fed as (
    select %(list_id)s::text as list_id
    union distinct
    select o.list_id
    from fed as f
    inner join others as o on o.segment_key = 'klaviyo:' || f.list_id and o.direction <> 'pull'
),

opposed as (
    select
        o.direction,
        o.segment_key
    from others as o
    where
        o.list_id = %(list_id)s
        and %(direction)s <> 'pull'
        and o.direction not in ('pull', %(direction)s)
    order by o.created_at
    limit 1
)

select
    exists(
        select 1 from others as o
        where o.segment_key = %(segment_key)s and o.list_id = %(list_id)s
    ) as is_mapped,
    (select o.direction from opposed as o) as other_direction,
    (select o.segment_key from opposed as o) as other_segment_key,
    exists(
        select 1 from fed as f
        where %(direction)s <> 'pull' and %(segment_key)s = 'klaviyo:' || f.list_id
    ) as is_circle
