-- name: list_ledger
-- A page of a configuration's ledger, by address.
select
    email,
    customer_id,
    profile_id,
    state,
    is_member,
    error_code,
    error_detail,
    changed_at
from app.klaviyo_ledger
where
    tenant_id = %(tenant_id)s
    and config_id = %(config_id)s
    and (%(state)s::text is null or state = %(state)s)
    and (
        %(q)s::text is null
        or position(lower(%(q)s) in email) > 0
        or customer_id = %(q)s
    )
    and (%(after_email)s::text is null or email > %(after_email)s)
order by email
limit %(row_limit)s;

-- name: record_found
-- These of a batch that is about to be added are on the list already, though no read has shown
-- them: whatever dates the destination reports, this is who is on it. A person added them, unless
-- a call whose answer was lost did. Returns their addresses.
with found as (
    select distinct on (f.profile_id)
        f.profile_id,
        lower(app.clean_address(f.email)) as email,
        f.joined_at,
        f.is_suppressed
    from unnest(
        %(profile_ids)s::text[],
        %(found)s::text[],
        %(joined)s::timestamptz[],
        %(suppressed)s::boolean[]
    ) as f (profile_id, email, joined_at, is_suppressed)
    order by f.profile_id
),

profiles as (
    insert into app.klaviyo_list_profiles as p (
        tenant_id, list_id, profile_id, email, joined_at, is_suppressed
    )
    select
        %(tenant_id)s,
        %(list_id)s,
        f.profile_id,
        f.email,
        f.joined_at,
        f.is_suppressed
    from found as f
    inner join app.klaviyo_lists as l
        on l.tenant_id = %(tenant_id)s and l.list_id = %(list_id)s
    on conflict (tenant_id, list_id, profile_id) do update set
        email = excluded.email,
        joined_at = excluded.joined_at,
        is_suppressed = excluded.is_suppressed
    where p.tenant_id = %(tenant_id)s
),

sent as (
    select distinct k.email
    from app.klaviyo_sync_configs as c
    inner join app.klaviyo_ledger as k
        on k.tenant_id = %(tenant_id)s and c.config_id = k.config_id
    where
        c.tenant_id = %(tenant_id)s
        and c.list_id = %(list_id)s
        and (k.state = 'synced' or (k.state = 'pending' and k.sent_at is not null))
        and k.email in (select f.email from found as f)
)

insert into app.klaviyo_ledger as k (
    tenant_id, config_id, email, customer_id, profile_id, state
)
select
    %(tenant_id)s,
    %(config_id)s,
    a.email,
    min(a.customer_id) as customer_id,
    min(f.profile_id) as profile_id,
    case when count(s.email) > 0 then 'synced' else 'kept' end as state
from unnest(%(emails)s::text[], %(customer_ids)s::text[]) as a (email, customer_id)
inner join found as f on a.email = f.email
left join sent as s on a.email = s.email
group by a.email
on conflict (tenant_id, config_id, email) do update set
    profile_id = excluded.profile_id,
    state = excluded.state,
    error_code = null,
    error_detail = null,
    refused_hash = null,
    changed_at = excluded.changed_at
where k.tenant_id = %(tenant_id)s
returning k.email;

-- name: mark_pending
-- A batch is about to be added. If the process dies now, the next sync reads from the list what
-- happened to it.
insert into app.klaviyo_ledger as k (tenant_id, config_id, email, customer_id, state, sent_at)
select
    %(tenant_id)s,
    %(config_id)s,
    a.email,
    a.customer_id,
    'pending',
    now()
from unnest(%(emails)s::text[], %(customer_ids)s::text[]) as a (email, customer_id)
on conflict (tenant_id, config_id, email) do update set
    customer_id = excluded.customer_id,
    state = excluded.state,
    error_code = null,
    error_detail = null,
    refused_hash = null,
    sent_at = excluded.sent_at,
    changed_at = excluded.changed_at
where k.tenant_id = %(tenant_id)s;

-- name: mark_unsent
-- These certainly never reached the destination: if they are on the list, a person added them.
update app.klaviyo_ledger
set sent_at = null
where
    tenant_id = %(tenant_id)s
    and config_id = %(config_id)s
    and email = any(%(emails)s)
    and state = 'pending';

-- name: mark_synced
-- The destination has added these to the list.
update app.klaviyo_ledger
set
    state = 'synced',
    error_code = null,
    error_detail = null,
    refused_hash = null,
    changed_at = now()
where
    tenant_id = %(tenant_id)s
    and config_id = %(config_id)s
    and email = any(%(emails)s)
    and state = 'pending';

-- name: mark_updated
-- The destination accepted new properties of these, so earlier errors are over.
update app.klaviyo_ledger
set error_code = null, error_detail = null
where
    tenant_id = %(tenant_id)s
    and config_id = %(config_id)s
    and email = any(%(emails)s)
    and state <> 'rejected'
    and error_code is not null;

-- name: mark_rejected
-- The destination refused these, with its reason. Additions are rejected until there is something
-- else to send; the state of those who are on the list already does not change.
update app.klaviyo_ledger as k
set
    state = case when r.is_new then 'rejected' else k.state end,
    refused_hash = case when r.is_new then r.properties_hash end,
    error_code = r.code,
    error_detail = r.detail,
    sent_at = case when not r.is_new then k.sent_at end,
    changed_at = case when r.is_new then now() else k.changed_at end
from
    jsonb_to_recordset(%(refusals)s) as r (
        email text, code text, detail text, properties_hash text, is_new boolean
    )
where
    k.tenant_id = %(tenant_id)s
    and k.config_id = %(config_id)s
    and k.email = r.email;

-- name: mark_removing
-- A batch is about to be removed from the list. If the process dies now, it is unknown whether it
-- was: so its profiles count as not read, and no configuration of the list takes them for removed
-- by a person. They have left a list that is pulled, too; one that was not removed enters it again
-- with the next reading.
with configs as (
    select c.config_id
    from app.klaviyo_sync_configs as c
    inner join app.klaviyo_sync_configs as asked
        on asked.tenant_id = %(tenant_id)s and c.list_id = asked.list_id
    where c.tenant_id = %(tenant_id)s and asked.config_id = %(config_id)s
),

profiles as (
    delete from app.klaviyo_list_profiles as p
    using app.klaviyo_sync_configs as asked
    where
        p.tenant_id = %(tenant_id)s
        and asked.tenant_id = %(tenant_id)s
        and asked.config_id = %(config_id)s
        and p.list_id = asked.list_id
        and p.profile_id = any(%(profile_ids)s)
    returning p.list_id, p.profile_id, p.email
),

recorded as (
    insert into app.klaviyo_list_changes (
        tenant_id, list_id, profile_id, email, changed_at, has_entered
    )
    select
        %(tenant_id)s,
        p.list_id,
        p.profile_id,
        p.email,
        now(),
        false
    from profiles as p
    where
        exists (
            select from app.klaviyo_sync_configs as g
            where
                g.tenant_id = %(tenant_id)s
                and g.list_id = p.list_id
                and g.direction in ('pull', 'bidirectional')
        )
    on conflict do nothing
)

update app.klaviyo_ledger as k
set
    state = 'pending',
    error_code = null,
    error_detail = null,
    refused_hash = null,
    changed_at = now()
from configs as c
where
    k.tenant_id = %(tenant_id)s
    and k.config_id = c.config_id
    and k.email = any(%(emails)s)
    and k.state in ('pending', 'synced');

-- name: delete_removed
-- The destination has removed these from the list, and no configuration of it wants them. One that
-- still has them as members has not planned since they left its segment: there, none of their calls
-- is being processed.
with configs as (
    select c.config_id
    from app.klaviyo_sync_configs as c
    inner join app.klaviyo_sync_configs as asked
        on asked.tenant_id = %(tenant_id)s and c.list_id = asked.list_id
    where c.tenant_id = %(tenant_id)s and asked.config_id = %(config_id)s
),

deleted as (
    delete from app.klaviyo_ledger as k
    using configs as c
    where
        k.tenant_id = %(tenant_id)s
        and k.config_id = c.config_id
        and k.email = any(%(emails)s)
        and k.state = 'pending'
        and not k.is_member
    returning 1
)

update app.klaviyo_ledger as k
set
    profile_id = null,
    sent_at = null,
    changed_at = 'epoch'
from configs as c
where
    k.tenant_id = %(tenant_id)s
    and k.config_id = c.config_id
    and k.email = any(%(emails)s)
    and k.state = 'pending'
    and k.is_member;

-- name: undo_removal
-- Deletes, in all configurations of the list, that a person removed an address from it.
with deleted as (
    delete from app.klaviyo_ledger as k
    using app.klaviyo_sync_configs as c, app.klaviyo_sync_configs as asked
    where
        k.tenant_id = %(tenant_id)s
        and c.tenant_id = %(tenant_id)s
        and asked.tenant_id = %(tenant_id)s
        and asked.config_id = %(config_id)s
        and c.list_id = asked.list_id
        and k.config_id = c.config_id
        and k.email = lower(app.clean_address(%(email)s))
        and k.state = 'removed'
    returning k.config_id
)

select config_id
from deleted
order by config_id
limit 1;

-- name: record_sent
-- The properties these profiles were sent last, so that only changed ones are sent again.
insert into app.klaviyo_profiles as p (tenant_id, email, properties_hash)
select
    %(tenant_id)s,
    s.email,
    s.properties_hash
from unnest(%(emails)s::text[], %(properties_hashes)s::text[]) as s (email, properties_hash)
where s.properties_hash is not null
on conflict (tenant_id, email) do update set
    properties_hash = excluded.properties_hash,
    sent_at = excluded.sent_at
where p.tenant_id = %(tenant_id)s;
