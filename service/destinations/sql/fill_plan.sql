-- name: fill_plan
-- The three-way comparison of base (the ledger), local (the segment) and remote (the list as last
-- read), for one configuration that pushes or is bidirectional. What each address comes to:
--
--   ours      on the list because of some configuration of it, and meant to be
--   theirs    on the list without us: never taken off
--   add       meant to be on the list, and to be sent (again, if what was sent never arrived)
--   remove    on the list because of us, and no configuration of the list means it to be
--   hand_on   no longer meant by this configuration, but by another of the list, which is yet to
--             write down what is known here: that it is ours, or was taken off by a person
--   await     no longer meant to be on the list, on which it may still arrive
--   stay_out  taken off the list by a person, or by them before: not put back
--   refused   rejected by Klaviyo, and nothing about it has changed since
--   suppress  Klaviyo sends it nothing and it is not on the list
--   forget    nothing more to know of it here
--
-- An address that has been seen on the list (it has a profile id) and is not there any more was
-- taken off: whom we take off ourselves is pending meanwhile. One that has not been seen counts as
-- taken off only if a full reading began so long after it was sent that it must have been there.
--
-- A profile may be on the list under another address than the one we know it by: somebody has
-- changed it in Klaviyo. It is still the person whom we put there. Should they be meant to be on
-- the list by the new address it is ours by that one, and the former is forgotten.
insert into pg_temp.klaviyo_plan (
    action, reason, email, customer_id, profile_id, next_state, is_member, enters, leaves
)
with config as (
    select
        c.config_id,
        c.list_id,
        c.direction,
        l.full_read_at - interval '10 minutes' as surely_read_at
    from app.klaviyo_sync_configs as c
    inner join app.klaviyo_lists as l
        on l.tenant_id = %(tenant_id)s and c.list_id = l.list_id
    where c.tenant_id = %(tenant_id)s and c.config_id = %(config_id)s
),

base as (
    select
        b.email,
        b.customer_id,
        b.profile_id,
        b.state,
        b.is_member,
        b.refused_hash,
        b.changed_at
    from app.klaviyo_ledger as b
    where b.tenant_id = %(tenant_id)s and b.config_id = %(config_id)s
),

local as (
    select
        m.email,
        m.customer_id
    from pg_temp.klaviyo_members as m
    where m.config_id = %(config_id)s and m.reason is null
),

remote as (
    select
        p.email,
        min(p.profile_id) as profile_id
    from config as c
    inner join app.klaviyo_list_profiles as p
        on p.tenant_id = %(tenant_id)s and c.list_id = p.list_id
    where p.email is not null
    group by p.email
),

moved as (
    select
        k.config_id,
        k.email as former_email,
        k.state,
        p.email,
        p.profile_id
    from config as c
    inner join app.klaviyo_sync_configs as o
        on o.tenant_id = %(tenant_id)s and c.list_id = o.list_id and o.direction <> 'pull'
    inner join app.klaviyo_ledger as k
        on k.tenant_id = %(tenant_id)s and o.config_id = k.config_id
    inner join app.klaviyo_list_profiles as p
        on
            p.tenant_id = %(tenant_id)s
            and c.list_id = p.list_id
            and k.profile_id = p.profile_id
            and k.email is distinct from p.email
    where not exists (select from remote as r where r.email = k.email)
),

moved_from as (
    select
        m.former_email,
        m.email,
        m.profile_id
    from moved as m
    where m.config_id = %(config_id)s
),

moved_to as (
    select
        m.email,
        bool_or(l.email is not null) as is_meant_by_former
    from moved as m
    left join local as l on m.former_email = l.email and m.config_id = %(config_id)s
    where m.email is not null and m.state in ('pending', 'synced')
    group by m.email
),

suppressed as (
    select distinct p.email
    from app.klaviyo_list_profiles as p
    where p.tenant_id = %(tenant_id)s and p.is_suppressed and p.email is not null
),

-- The list's other configurations. One that stands still, because it is paused or its segment is
-- gone, means whom it meant last.
others as (
    select
        o.config_id,
        o.config_id = any(%(inactive)s) as stands_still,
        c.surely_read_at
    from app.klaviyo_sync_configs as o
    inner join config as c on o.list_id = c.list_id and o.config_id <> c.config_id
    where o.tenant_id = %(tenant_id)s and o.direction <> 'pull'
),

claims as (
    select
        k.email,
        k.state,
        k.profile_id is not null or k.changed_at < o.surely_read_at as is_seen,
        o.stands_still and k.is_member and k.state in ('pending', 'synced', 'kept') as is_meant
    from others as o
    inner join app.klaviyo_ledger as k
        on k.tenant_id = %(tenant_id)s and o.config_id = k.config_id

    union all

    select
        m.email,
        k.state,
        k.profile_id is not null or k.changed_at < o.surely_read_at as is_seen,
        coalesce(k.state, 'new') not in ('rejected', 'removed') as is_meant
    from others as o
    inner join pg_temp.klaviyo_members as m on o.config_id = m.config_id and m.reason is null
    left join app.klaviyo_ledger as k
        on k.tenant_id = %(tenant_id)s and m.config_id = k.config_id and m.email = k.email
    where not o.stands_still
),

elsewhere as (
    select
        c.email,
        bool_or(c.is_meant) as is_meant,
        bool_or(c.is_meant and coalesce(c.state, 'new') <> 'new') as is_written_down,
        coalesce(bool_or(c.state in ('pending', 'synced')), false) as is_ours,
        coalesce(bool_or(c.state = 'synced' and c.is_seen is not true), false) as is_sent,
        coalesce(bool_or(c.state = 'removed'), false) as is_removed,
        coalesce(
            bool_or(c.state = 'removed' or (c.state in ('synced', 'kept') and c.is_seen)), false
        ) as is_known
    from claims as c
    group by c.email
),

compared as (
    select
        coalesce(l.email, b.email) as email,
        coalesce(l.customer_id, b.customer_id) as customer_id,
        coalesce(r.profile_id, f.profile_id) as profile_id,
        l.email is not null as is_local,
        r.email is not null or f.profile_id is not null as is_remote,
        f.profile_id is not null as is_moved,
        n.email is not null or coalesce(w.is_meant, false) as is_meant_where_moved_to,
        s.email is not null as is_suppressed,
        coalesce(e.is_meant, false) as is_meant_elsewhere,
        coalesce(e.is_written_down, false) as is_written_down_elsewhere,
        coalesce(e.is_ours, false) or m.email is not null as is_ours_elsewhere,
        coalesce(m.is_meant_by_former, false) as is_meant_by_former,
        coalesce(e.is_sent, false) as is_sent_elsewhere,
        coalesce(e.is_removed, false) as is_removed_elsewhere,
        coalesce(e.is_known, false) as is_known_elsewhere,
        coalesce(b.state, 'none') as state,
        coalesce(b.is_member, false) as was_member,
        b.profile_id as known_profile_id,
        b.customer_id as known_customer_id,
        b.changed_at,
        coalesce(b.changed_at < c.surely_read_at, false) as is_surely_read,
        coalesce(b.refused_hash = p.properties_hash, false) as is_refused_before,
        (p.properties_hash is distinct from t.properties_hash) as is_told_otherwise,
        c.direction
    from local as l
    full outer join base as b on l.email = b.email
    cross join config as c
    left join remote as r on coalesce(l.email, b.email) = r.email
    left join suppressed as s on coalesce(l.email, b.email) = s.email
    left join elsewhere as e on coalesce(l.email, b.email) = e.email
    left join moved_from as f on coalesce(l.email, b.email) = f.former_email
    left join moved_to as m on coalesce(l.email, b.email) = m.email
    left join local as n on f.email = n.email
    left join elsewhere as w on f.email = w.email
    left join pg_temp.klaviyo_properties as p on coalesce(l.email, b.email) = p.email
    left join app.klaviyo_profiles as t
        on t.tenant_id = %(tenant_id)s and coalesce(l.email, b.email) = t.email
),

decided as (
    select
        c.*,
        case
            when c.is_local and c.is_remote and (
                c.state in ('pending', 'synced')
                or (c.state <> 'kept' and c.is_ours_elsewhere)
            ) then 'ours'
            when c.is_local and c.is_remote then 'theirs'
            when c.is_local and c.state in ('kept', 'removed') then 'stay_out'
            when
                c.is_local
                and c.state = 'synced'
                and (c.known_profile_id is not null or c.is_surely_read)
                then 'stay_out'
            when c.is_local and c.state = 'synced' then 'ours'
            when c.is_local and c.is_known_elsewhere then 'stay_out'
            when c.is_local and c.state in ('none', 'pending') and c.is_sent_elsewhere then 'ours'
            when c.is_local and c.state = 'rejected' and c.is_refused_before then 'refused'
            when c.is_local and c.state = 'none' and c.is_suppressed then 'suppress'
            when c.is_local then 'add'
            when c.state = 'removed' and not c.is_remote and c.direction = 'bidirectional'
                then 'stay_out'
            when c.state = 'rejected' or (c.state in ('kept', 'removed') and c.is_remote)
                then 'forget'
            when (c.is_moved and c.is_meant_where_moved_to) or c.is_meant_by_former then 'forget'
            when c.is_meant_elsewhere and c.is_written_down_elsewhere then 'forget'
            when c.is_meant_elsewhere then 'hand_on'
            when c.state in ('kept', 'removed') then 'forget'
            -- A person took off whom we had put there. If they are there again, it is their doing.
            when c.state = 'synced' and c.is_removed_elsewhere then 'forget'
            when c.is_remote then 'remove'
            when c.state = 'pending' and c.known_profile_id is not null then 'remove'
            when c.state = 'pending' and c.changed_at > now() - interval '1 day' then 'await'
            when c.state = 'synced' and c.known_profile_id is null and not c.is_surely_read
                then 'await'
            else 'forget'
        end as verdict
    from compared as c
),

final as (
    select
        case
            -- By the former address an import would make another profile of them.
            when d.verdict in ('ours', 'theirs') and d.is_told_otherwise and not d.is_moved
                then 'update'
            when d.verdict in ('add', 'remove') then d.verdict
            when d.is_local and d.verdict in ('stay_out', 'refused', 'suppress') then 'skip'
        end as action,
        case
            when d.is_local and d.verdict = 'stay_out' then 'removed_by_person'
            when d.verdict = 'refused' then 'rejected'
            when d.verdict = 'suppress' then 'suppressed'
        end as reason,
        d.email,
        d.customer_id,
        case
            when d.verdict = 'add' then null
            else coalesce(d.profile_id, d.known_profile_id)
        end as profile_id,
        case d.verdict
            when 'ours' then 'synced'
            when 'theirs' then 'kept'
            when 'add' then 'pending'
            when 'stay_out' then 'removed'
            when 'forget' then null
            when 'suppress' then null
            else d.state
        end as next_state,
        d.is_local as is_member,
        d.is_local and not d.was_member and d.verdict <> 'suppress' as enters,
        d.was_member and not d.is_local as leaves,
        d.state,
        d.was_member,
        d.known_profile_id,
        d.known_customer_id
    from decided as d
)

-- What is as it was needs no row.
select
    f.action,
    f.reason,
    f.email,
    f.customer_id,
    f.profile_id,
    f.next_state,
    f.is_member,
    f.enters,
    f.leaves
from final as f
where
    f.action is not null
    or coalesce(f.next_state, 'none') <> f.state
    or f.is_member <> f.was_member
    or f.profile_id is distinct from f.known_profile_id
    or f.customer_id is distinct from f.known_customer_id;
