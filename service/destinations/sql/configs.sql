-- name: create_config
-- Syncs a segment with a list from now on.
insert into app.klaviyo_sync_configs (
    tenant_id,
    segment_key,
    list_id,
    list_name,
    direction,
    is_scheduled,
    fires_flows_on_first_sync,
    sends_events
)
values (
    %(tenant_id)s,
    %(segment_key)s,
    %(list_id)s,
    %(list_name)s,
    %(direction)s,
    %(is_scheduled)s,
    %(fires_flows_on_first_sync)s,
    %(sends_events)s
)
returning config_id;

-- name: find_config
-- The configuration of a segment and a list; no row if they have none.
select config_id
from app.klaviyo_sync_configs
where
    tenant_id = %(tenant_id)s
    and segment_key = %(segment_key)s
    and list_id = %(list_id)s;

-- name: list_configs
-- The tenant's configurations, oldest first: all, a page, or one of them. Each with its last sync
-- that was not a dry run.
select
    c.config_id,
    c.segment_key,
    c.list_id,
    c.list_name,
    c.direction,
    c.is_scheduled,
    c.fires_flows_on_first_sync,
    c.sends_events,
    c.is_paused,
    c.paused_by,
    c.paused_reason,
    c.paused_at,
    c.confirmed_removals,
    c.local_members,
    c.drift,
    c.planned_at,
    c.planned_key,
    c.created_at,
    c.first_synced_at,
    c.last_synced_at,
    r.run_id as last_run_id,
    r.state as last_state,
    r.stopped_for as last_stopped_for,
    r.plan as last_plan,
    r.counts as last_counts,
    r.errors as last_errors,
    r.error as last_error,
    r.advice as last_advice,
    r.finished_at as last_finished_at
from app.klaviyo_sync_configs as c
left join lateral (
    select s.*
    from app.klaviyo_sync_runs as s
    where
        s.tenant_id = c.tenant_id
        and s.config_id = c.config_id
        and not s.is_dry_run
    order by s.requested_at desc
    limit 1
) as r on true
where
    c.tenant_id = %(tenant_id)s
    and (%(config_id)s::uuid is null or c.config_id = %(config_id)s)
    and (
        %(after_created_at)s::timestamptz is null
        or (c.created_at, c.config_id) > (%(after_created_at)s, %(after_config_id)s)
    )
order by c.created_at, c.config_id
limit %(row_limit)s;

-- name: change_config
-- Changes a configuration. Pausing a paused one again changes neither who paused it nor why.
update app.klaviyo_sync_configs
set
    direction = %(direction)s,
    is_scheduled = %(is_scheduled)s,
    fires_flows_on_first_sync = %(fires_flows_on_first_sync)s,
    sends_events = %(sends_events)s,
    is_paused = %(is_paused)s,
    paused_by = case when %(is_paused)s then coalesce(paused_by, 'person') end,
    paused_at = case when %(is_paused)s then coalesce(paused_at, now()) end,
    paused_reason = case when %(is_paused)s then paused_reason end
where tenant_id = %(tenant_id)s and config_id = %(config_id)s;

-- name: delete_config
-- Stops syncing a list; its rows in the ledger are deleted with it.
delete from app.klaviyo_sync_configs
where tenant_id = %(tenant_id)s and config_id = %(config_id)s;

-- name: lock_config
-- Whether a configuration is still to be synced; no row if it was deleted. It cannot be deleted
-- until the end of the transaction, so that rows about it can be written.
select is_paused
from app.klaviyo_sync_configs
where tenant_id = %(tenant_id)s and config_id = %(config_id)s
for key share;

-- name: lock_configs
-- One change to a tenant's configurations at a time, until the end of the transaction.
select pg_advisory_xact_lock(hashtextextended('klaviyo configs ' || %(tenant_id)s::text, 0));

-- name: pause_config
-- Pauses a configuration that cannot be synced, until a person resumes it.
update app.klaviyo_sync_configs
set
    is_paused = true,
    paused_by = 'sync',
    paused_at = now(),
    paused_reason = %(reason)s
where tenant_id = %(tenant_id)s and config_id = %(config_id)s and not is_paused;

-- name: list_paused
-- The tenant's configurations that were paused, but not by a person, with the reason. Before
-- migration 0015 paused_by was not recorded: only syncs paused lists.
select
    segment_key,
    list_id,
    list_name,
    coalesce(paused_by, 'sync') as paused_by,
    coalesce(paused_reason, 'No reason was recorded.') as paused_reason
from app.klaviyo_sync_configs
where tenant_id = %(tenant_id)s and is_paused and paused_by is distinct from 'person'
order by created_at, config_id;

-- name: confirm_removals
-- A person approves this many removals.
update app.klaviyo_sync_configs
set confirmed_removals = %(removals)s
where tenant_id = %(tenant_id)s and config_id = %(config_id)s;

-- name: consume_confirmed
-- This many of the approved removals are done. If this sync ends early, the next one may do the
-- rest.
update app.klaviyo_sync_configs
set confirmed_removals = greatest(confirmed_removals - %(removals)s, 0)
where
    tenant_id = %(tenant_id)s
    and config_id = %(config_id)s
    and confirmed_removals is not null;

-- name: find_conflict
-- What a configuration conflicts with: one of the same segment and list; one of the list with
-- another direction, except pulls, which only read; lists that would feed each other in a cycle.
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

-- Every list that the new one's list feeds, directly or through others.
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
    ) as is_circle;

-- name: find_fed_by_list
-- A list that this list feeds as a segment, if no other configuration pulls this list.
select c.list_name
from app.klaviyo_sync_configs as c
where
    c.tenant_id = %(tenant_id)s
    and c.segment_key = 'klaviyo:' || %(list_id)s
    and c.direction <> 'pull'
    and not exists (
        select from app.klaviyo_sync_configs as p
        where
            p.tenant_id = %(tenant_id)s
            and p.list_id = %(list_id)s
            and p.direction in ('pull', 'bidirectional')
            and p.config_id <> %(config_id)s
    )
order by c.created_at
limit 1;

-- name: list_fed_by_other_rfm_segments
-- Lists that RFM segments other than these feed.
select
    split_part(segment_key, ':', 2) as segment,
    list_name
from app.klaviyo_sync_configs
where
    tenant_id = %(tenant_id)s
    and segment_key like 'rfm:%%'
    and split_part(segment_key, ':', 2) <> all(%(segments)s::text[])
order by segment, list_name;

-- name: request_full_read
-- Makes a full read of lists due: of all lists, or of those of some configurations.
update app.klaviyo_lists as l
set full_read_at = null
where
    l.tenant_id = %(tenant_id)s
    and (
        %(config_ids)s::uuid[] is null
        or exists (
            select from app.klaviyo_sync_configs as c
            where
                c.tenant_id = %(tenant_id)s
                and c.list_id = l.list_id
                and c.config_id = any(%(config_ids)s)
        )
    );

-- name: record_planned
-- How many members get e-mail, how many changes are pending before the sync makes them, and which
-- addresses the segment has, to tell later whether it has changed.
update app.klaviyo_sync_configs
set
    local_members = %(local_members)s,
    drift = %(drift)s,
    planned_at = now(),
    planned_key = (
        select coalesce(sum(app.address_key(s.email)), 0)
        from pg_temp.sync_segment as s
        where s.config_id = %(config_id)s
    )
where tenant_id = %(tenant_id)s and config_id = %(config_id)s;

-- name: record_synced
-- The list has just been synced. Removals that a person approved are done, or are not needed any
-- more.
update app.klaviyo_sync_configs as c
set
    last_synced_at = now(),
    first_synced_at = coalesce(c.first_synced_at, now()),
    confirmed_removals = null,
    drift = (
        select count(*)
        from app.klaviyo_ledger as k
        where
            k.tenant_id = %(tenant_id)s
            and k.config_id = c.config_id
            and k.state in ('pending', 'rejected')
    )
where c.tenant_id = %(tenant_id)s and c.config_id = %(config_id)s;

-- name: record_pulled
-- A pulled list has just been read.
update app.klaviyo_sync_configs as c
set
    last_synced_at = now(),
    first_synced_at = coalesce(c.first_synced_at, now()),
    local_members = (
        select count(distinct p.email)
        from app.klaviyo_list_profiles as p
        where p.tenant_id = %(tenant_id)s and p.list_id = %(list_id)s
    ),
    drift = 0,
    planned_at = now()
where c.tenant_id = %(tenant_id)s and c.config_id = %(config_id)s;

-- name: pause_for_key
-- Pauses every configuration until a key is accepted.
update app.klaviyo_sync_configs
set
    is_paused = true,
    paused_by = 'key',
    paused_at = now(),
    paused_reason = %(reason)s
where tenant_id = %(tenant_id)s and not is_paused;

-- name: resume_after_key
-- A key was accepted: resumes the configurations that were paused for a refused one.
update app.klaviyo_sync_configs
set
    is_paused = false,
    paused_by = null,
    paused_at = null,
    paused_reason = null
where tenant_id = %(tenant_id)s and paused_by = 'key';
