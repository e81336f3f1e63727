-- name: list_ledger
-- A page of what a configuration has done about each address, by address.
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

-- name: mark_pending
-- A batch is about to be added: should we die now, the next sync looks on the list for what became
-- of it.
insert into app.klaviyo_ledger as k (tenant_id, config_id, email, customer_id, state)
select
    %(tenant_id)s,
    %(config_id)s,
    a.email,
    a.customer_id,
    'pending'
from unnest(%(emails)s::text[], %(customer_ids)s::text[]) as a (email, customer_id)
on conflict (tenant_id, config_id, email) do update set
    customer_id = excluded.customer_id,
    state = excluded.state,
    error_code = null,
    error_detail = null,
    refused_hash = null,
    changed_at = excluded.changed_at
where k.tenant_id = %(tenant_id)s;

-- name: mark_synced
-- Klaviyo has put these on the list.
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
-- Klaviyo has taken what was told anew about these, and an earlier complaint is over.
update app.klaviyo_ledger
set error_code = null, error_detail = null
where
    tenant_id = %(tenant_id)s
    and config_id = %(config_id)s
    and email = any(%(emails)s)
    and state <> 'rejected'
    and error_code is not null;

-- name: mark_rejected
-- Klaviyo did not take these, for the reason it gave. Who was to come onto the list is rejected
-- until something else would be sent; who is on it already stays what they are.
update app.klaviyo_ledger as k
set
    state = case when r.is_new then 'rejected' else k.state end,
    refused_hash = case when r.is_new then r.properties_hash end,
    error_code = r.code,
    error_detail = r.detail,
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
-- A batch is about to be taken off the list. Should we die now, nobody knows whether it was: so its
-- profiles count as not read, and in no configuration of the list as what a person took off.
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
    returning 1
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
-- Klaviyo has taken these off the list: no configuration of it holds them any more. One that has
-- not planned since they left its segment has yet to notice that; nothing of theirs is on its way.
with configs as (
    select c.config_id
    from app.klaviyo_sync_configs as c
    inner join app.klaviyo_sync_configs as asked
        on asked.tenant_id = %(tenant_id)s and c.list_id = asked.list_id
    where c.tenant_id = %(tenant_id)s and asked.config_id = %(config_id)s
),

forgotten as (
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
    changed_at = 'epoch'
from configs as c
where
    k.tenant_id = %(tenant_id)s
    and k.config_id = c.config_id
    and k.email = any(%(emails)s)
    and k.state = 'pending'
    and k.is_member;

-- name: undo_removal
-- Forgets, in all configurations of the list, that a person took an address off it.
with forgotten as (
    delete from app.klaviyo_ledger as k
    using app.klaviyo_sync_configs as c, app.klaviyo_sync_configs as asked
    where
        k.tenant_id = %(tenant_id)s
        and c.tenant_id = %(tenant_id)s
        and asked.tenant_id = %(tenant_id)s
        and asked.config_id = %(config_id)s
        and c.list_id = asked.list_id
        and k.config_id = c.config_id
        and k.email = %(email)s
        and k.state = 'removed'
    returning k.config_id
)

select config_id
from forgotten
order by config_id
limit 1;

-- name: record_sent
-- What Klaviyo was last told about these profiles, so that only what differs is sent again.
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
