-- name: create_plan
-- The action for each address, and its next state in the ledger; null for none.
create temporary table sync_plan (
    action text,
    reason text,
    email text not null,
    customer_id text,
    profile_id text,
    next_state text,
    is_member boolean not null,
    enters boolean not null,
    leaves boolean not null
) on commit drop;

-- name: count_plan
-- How many addresses each action of the plan concerns, by reason, with a few examples. Members that
-- get no e-mail are skipped too.
with planned as (
    select
        p.action,
        p.reason,
        p.email,
        p.customer_id
    from pg_temp.sync_plan as p
    where p.action is not null

    union all

    select
        'skip' as action,
        m.reason,
        m.email,
        m.customer_id
    from pg_temp.sync_members as m
    where m.config_id = %(config_id)s and m.reason is not null
),

ranked as (
    select
        p.*,
        row_number() over (
            partition by p.action, p.reason
            order by p.email, p.customer_id
        ) as place
    from planned as p
)

select
    r.action,
    r.reason,
    count(*) as addresses,
    coalesce(
        jsonb_agg(
            jsonb_strip_nulls(
                jsonb_build_object(
                    'email', r.email, 'customer_id', r.customer_id, 'reason', r.reason
                )
            )
            order by r.place
        ) filter (where r.place <= 10 and (r.reason is null or r.place <= 3)),
        '[]'
    ) as examples
from ranked as r
group by r.action, r.reason
order by r.action, r.reason;

-- name: read_plan
-- The people of one action of the plan, in a fixed order.
select
    p.email,
    p.customer_id,
    p.profile_id,
    f.properties::text as properties,
    f.properties_hash
from pg_temp.sync_plan as p
left join pg_temp.sync_properties as f on p.email = f.email
where p.action = %(action)s
order by p.email;

-- name: count_list_removals
-- How many profiles the list has, and how many of them all of its configurations together would
-- remove now: those that Quintile added and none of them wants any more.
with configs as (
    select
        c.config_id,
        c.config_id = any(%(inactive)s) as is_inactive
    from app.klaviyo_sync_configs as c
    where
        c.tenant_id = %(tenant_id)s
        and c.list_id = %(list_id)s
        and c.direction <> 'pull'
),

profiles as (
    select p.email
    from app.klaviyo_list_profiles as p
    where p.tenant_id = %(tenant_id)s and p.list_id = %(list_id)s
),

wanted as (
    select m.email
    from pg_temp.sync_members as m
    where m.reason is null
    union distinct
    select k.email
    from configs as c
    inner join app.klaviyo_ledger as k
        on k.tenant_id = %(tenant_id)s and c.config_id = k.config_id
    where
        c.is_inactive
        and k.is_member
        and k.state in ('pending', 'synced', 'kept')
),

removals as (
    select distinct k.email
    from configs as c
    inner join app.klaviyo_ledger as k
        on k.tenant_id = %(tenant_id)s and c.config_id = k.config_id
    inner join profiles as p on k.email = p.email
    where
        not c.is_inactive
        and (
            k.state = 'synced'
            or (k.state = 'pending' and (k.sent_at is not null or k.profile_id is not null))
        )
        and not exists (select from wanted as m where m.email = k.email)
)

select
    (select count(*) from profiles) as profiles,
    (select count(*) from removals) as removals;

-- name: apply_events
-- Events about who entered and left the segment since the last plan, recorded in the transaction
-- that applies the plan, so that each is sent once.
insert into app.klaviyo_events (
    tenant_id, config_id, email, metric, properties, is_backfill, occurred_at
)
select
    %(tenant_id)s,
    c.config_id,
    p.email,
    case when p.enters then 'Entered Segment' else 'Left Segment' end as metric,
    jsonb_build_object(
        'segment', c.segment_key,
        'segment_name', %(segment_name)s::text,
        'list_id', c.list_id,
        'list_name', c.list_name
    ) || coalesce(f.properties, '{}') as properties,
    c.first_synced_at is null and not c.fires_flows_on_first_sync as is_backfill,
    now() as occurred_at
from pg_temp.sync_plan as p
inner join app.klaviyo_sync_configs as c
    on c.tenant_id = %(tenant_id)s and c.config_id = %(config_id)s
left join pg_temp.sync_properties as f on p.email = f.email
where c.sends_events and (p.enters or p.leaves);

-- name: delete_from_ledger
-- Deletes the addresses about which there is nothing left to remember.
delete from app.klaviyo_ledger as k
using pg_temp.sync_plan as p
where
    k.tenant_id = %(tenant_id)s
    and k.config_id = %(config_id)s
    and k.email = p.email
    and p.next_state is null;

-- name: apply_to_ledger
-- Applies the plan to the ledger; additions are pending until the destination has accepted them.
insert into app.klaviyo_ledger as k (
    tenant_id, config_id, email, customer_id, profile_id, state, is_member
)
select
    %(tenant_id)s,
    %(config_id)s,
    p.email,
    p.customer_id,
    p.profile_id,
    p.next_state,
    p.is_member
from pg_temp.sync_plan as p
where p.next_state is not null
on conflict (tenant_id, config_id, email) do update set
    customer_id = excluded.customer_id,
    profile_id = excluded.profile_id,
    state = excluded.state,
    is_member = excluded.is_member,
    error_code = case k.state when excluded.state then k.error_code end,
    error_detail = case k.state when excluded.state then k.error_detail end,
    refused_hash = case k.state when excluded.state then k.refused_hash end,
    changed_at = case k.state when excluded.state then k.changed_at else now() end
where k.tenant_id = %(tenant_id)s;
