-- name: fill_plan
-- The plan of one configuration that pushes or is bidirectional: compares base (the ledger), local
-- (the segment) and remote (the list as last read). The verdict on each address:
--
--   managed     on the list because some configuration of it added it, and still wanted
--   unmanaged   on the list for another reason: never removed
--   add         wanted on the list, and to be sent (again, if what was sent never arrived)
--   remove      on the list because Quintile added it, and wanted by no configuration of the list
--   transfer    wanted no longer by this configuration but by another one of the list, which has
--               still to record what is known here: that Quintile added it or a person removed it
--   wait        wanted no longer, but a call that is still being processed may add it
--   keep_off    removed by a person, or by themselves: not added again
--   rejected    rejected by the destination, and nothing about it has changed since
--   suppressed  gets no e-mail and is not on the list
--   delete      nothing left to remember
--
-- Quintile added an address if a call that may have done so was made: one that was only planned, or
-- certainly never arrived, and is on the list now was added by a person. No date that the
-- destination reports has a say in this.
--
-- An address that was seen on the list (it has a profile id) and is missing now was removed by
-- someone: those that Quintile removes stay pending. An address that was not seen counts
-- as removed only if a full read began long enough after it was sent to have covered it.
--
-- A profile may be on the list under another address than the ledger has, because someone changed
-- it in the destination. It is still the same person. If the new address is wanted too, it is
-- managed from then on and the former address is deleted.
insert into pg_temp.sync_plan (
    action, reason, email, customer_id, profile_id, next_state, is_member, enters, leaves
)
with config as (
    select
        c.config_id,
        c.list_id,
        c.direction,
        l.full_read_at - interval '10 minutes' as covered_until
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
        b.changed_at,
        b.state = 'synced'
        or (b.state = 'pending' and (b.sent_at is not null or b.profile_id is not null)) as is_ours
    from app.klaviyo_ledger as b
    where b.tenant_id = %(tenant_id)s and b.config_id = %(config_id)s
),

local as (
    select
        m.email,
        m.customer_id
    from pg_temp.sync_members as m
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

renamed as (
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

renamed_from as (
    select
        m.former_email,
        m.email,
        m.profile_id
    from renamed as m
    where m.config_id = %(config_id)s
),

renamed_to as (
    select
        m.email,
        bool_or(l.email is not null) as is_wanted_by_former
    from renamed as m
    left join local as l on m.former_email = l.email and m.config_id = %(config_id)s
    where m.email is not null and m.state in ('pending', 'synced')
    group by m.email
),

suppressed as (
    select distinct p.email
    from app.klaviyo_list_profiles as p
    where p.tenant_id = %(tenant_id)s and p.is_suppressed and p.email is not null
),

-- The list's other configurations. An inactive one, which is paused or whose segment was deleted,
-- still wants the people it wanted last.
others as (
    select
        o.config_id,
        o.config_id = any(%(inactive)s) as is_inactive,
        c.covered_until
    from app.klaviyo_sync_configs as o
    inner join config as c on o.list_id = c.list_id and o.config_id <> c.config_id
    where o.tenant_id = %(tenant_id)s and o.direction <> 'pull'
),

claims as (
    select
        k.email,
        k.state,
        k.profile_id is not null or k.changed_at < o.covered_until as is_seen,
        k.state = 'synced'
        or (k.state = 'pending' and (k.sent_at is not null or k.profile_id is not null)) as is_ours,
        o.is_inactive and k.is_member and k.state in ('pending', 'synced', 'kept') as is_wanted
    from others as o
    inner join app.klaviyo_ledger as k
        on k.tenant_id = %(tenant_id)s and o.config_id = k.config_id

    union all

    select
        m.email,
        k.state,
        k.profile_id is not null or k.changed_at < o.covered_until as is_seen,
        k.state = 'synced'
        or (k.state = 'pending' and (k.sent_at is not null or k.profile_id is not null)) as is_ours,
        coalesce(k.state, 'new') not in ('rejected', 'removed') as is_wanted
    from others as o
    inner join pg_temp.sync_members as m on o.config_id = m.config_id and m.reason is null
    left join app.klaviyo_ledger as k
        on k.tenant_id = %(tenant_id)s and m.config_id = k.config_id and m.email = k.email
    where not o.is_inactive
),

other_claims as (
    select
        c.email,
        bool_or(c.is_wanted) as is_wanted,
        bool_or(c.is_wanted and coalesce(c.state, 'new') <> 'new') as is_recorded,
        coalesce(bool_or(c.is_ours), false) as is_managed,
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
        f.profile_id is not null as is_renamed,
        n.email is not null or coalesce(w.is_wanted, false) as is_wanted_by_new_address,
        s.email is not null as is_suppressed,
        coalesce(e.is_wanted, false) as is_wanted_elsewhere,
        coalesce(e.is_recorded, false) as is_recorded_elsewhere,
        coalesce(e.is_managed, false) or m.email is not null as is_managed_elsewhere,
        coalesce(m.is_wanted_by_former, false) as is_wanted_by_former,
        coalesce(e.is_sent, false) as is_sent_elsewhere,
        coalesce(e.is_removed, false) as is_removed_elsewhere,
        coalesce(e.is_known, false) as is_known_elsewhere,
        coalesce(b.state, 'none') as state,
        coalesce(b.is_ours, false) as is_ours,
        coalesce(b.is_member, false) as was_member,
        b.profile_id as known_profile_id,
        b.customer_id as known_customer_id,
        b.changed_at,
        coalesce(b.changed_at < c.covered_until, false) as is_covered,
        coalesce(b.refused_hash = p.properties_hash, false) as is_refused_before,
        (p.properties_hash is distinct from t.properties_hash) as has_new_properties,
        c.direction
    from local as l
    full outer join base as b on l.email = b.email
    cross join config as c
    left join remote as r on coalesce(l.email, b.email) = r.email
    left join suppressed as s on coalesce(l.email, b.email) = s.email
    left join other_claims as e on coalesce(l.email, b.email) = e.email
    left join renamed_from as f on coalesce(l.email, b.email) = f.former_email
    left join renamed_to as m on coalesce(l.email, b.email) = m.email
    left join local as n on f.email = n.email
    left join other_claims as w on f.email = w.email
    left join pg_temp.sync_properties as p on coalesce(l.email, b.email) = p.email
    left join app.klaviyo_profiles as t
        on t.tenant_id = %(tenant_id)s and coalesce(l.email, b.email) = t.email
),

decided as (
    select
        c.*,
        case
            when c.is_local and c.is_remote and (
                c.is_ours
                or (c.state <> 'kept' and c.is_managed_elsewhere)
            ) then 'managed'
            when c.is_local and c.is_remote then 'unmanaged'
            when c.is_local and c.state in ('kept', 'removed') then 'keep_off'
            when
                c.is_local
                and c.state = 'synced'
                and (c.known_profile_id is not null or c.is_covered)
                then 'keep_off'
            when c.is_local and c.state = 'synced' then 'managed'
            when c.is_local and c.is_known_elsewhere then 'keep_off'
            when c.is_local and c.state in ('none', 'pending') and c.is_sent_elsewhere
                then 'managed'
            when c.is_local and c.state = 'rejected' and c.is_refused_before then 'rejected'
            when c.is_local and c.state = 'none' and c.is_suppressed then 'suppressed'
            when c.is_local then 'add'
            when c.state = 'removed' and not c.is_remote and c.direction = 'bidirectional'
                then 'keep_off'
            when c.state = 'rejected' or (c.state in ('kept', 'removed') and c.is_remote)
                then 'delete'
            when c.state = 'pending' and not c.is_ours then 'delete'
            when (c.is_renamed and c.is_wanted_by_new_address) or c.is_wanted_by_former
                then 'delete'
            when c.is_wanted_elsewhere and c.is_recorded_elsewhere then 'delete'
            when c.is_wanted_elsewhere then 'transfer'
            when c.state in ('kept', 'removed') then 'delete'
            -- A person removed what Quintile had added. If it is there again, a person added it.
            when c.state = 'synced' and c.is_removed_elsewhere then 'delete'
            when c.is_remote then 'remove'
            when c.state = 'pending' and c.known_profile_id is not null then 'remove'
            when c.state = 'pending' and c.changed_at > now() - interval '1 day' then 'wait'
            when c.state = 'synced' and c.known_profile_id is null and not c.is_covered
                then 'wait'
            else 'delete'
        end as verdict
    from compared as c
),

final as (
    select
        case
            -- An import under the former address would create a second profile.
            when d.verdict in ('managed', 'unmanaged') and d.has_new_properties and not d.is_renamed
                then 'update'
            when d.verdict in ('add', 'remove') then d.verdict
            when d.is_local and d.verdict in ('keep_off', 'rejected', 'suppressed') then 'skip'
        end as action,
        case
            when d.is_local and d.verdict = 'keep_off' then 'removed_by_person'
            when d.verdict = 'rejected' then 'rejected'
            when d.verdict = 'suppressed' then 'suppressed'
        end as reason,
        d.email,
        d.customer_id,
        case
            when d.verdict = 'add' then null
            else coalesce(d.profile_id, d.known_profile_id)
        end as profile_id,
        case d.verdict
            when 'managed' then 'synced'
            when 'unmanaged' then 'kept'
            when 'add' then 'pending'
            when 'keep_off' then 'removed'
            when 'delete' then null
            when 'suppressed' then null
            else d.state
        end as next_state,
        d.is_local as is_member,
        d.is_local and not d.was_member and d.verdict <> 'suppressed' as enters,
        d.was_member and not d.is_local as leaves,
        d.state,
        d.was_member,
        d.known_profile_id,
        d.known_customer_id
    from decided as d
)

-- What does not change needs no row.
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
