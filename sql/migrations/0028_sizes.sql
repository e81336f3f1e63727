-- One source for the size of a synced list and of its segment, and whether the segment has changed
-- since the last plan.

-- Profiles on each list: those last read, and addresses that Klaviyo has accepted since then, which
-- have no profile id yet.
create view app.klaviyo_members with (security_invoker = true) as
select
    p.tenant_id,
    p.list_id,
    p.profile_id,
    p.email,
    p.joined_at
from app.klaviyo_list_profiles as p

union all

select distinct
    k.tenant_id,
    c.list_id,
    null::text as profile_id,
    k.email,
    null::timestamptz as joined_at
from app.klaviyo_ledger as k
inner join app.klaviyo_sync_configs as c
    on k.tenant_id = c.tenant_id and k.config_id = c.config_id
where
    k.state = 'synced'
    and k.profile_id is null
    and not exists (
        select from app.klaviyo_list_profiles as p
        where p.tenant_id = k.tenant_id and p.list_id = c.list_id and p.email = k.email
    );

comment on view app.klaviyo_members is
'Profiles on each list as last read, and addresses that Klaviyo has accepted since then.';

-- The sum over a segment's members changes when somebody joins, leaves or gets another address.
create function app.address_key(email text) returns bigint
language sql immutable parallel safe
return hashtextextended(nullif(lower(btrim(email)), ''), 0);

comment on function app.address_key(text) is
'A number for an e-mail address. The sum over the members of a segment identifies their addresses.';

alter table app.klaviyo_sync_configs
add column planned_at timestamptz,
add column planned_key numeric;

comment on column app.klaviyo_sync_configs.planned_at is
'When local_members and drift were counted by the last plan.';
comment on column app.klaviyo_sync_configs.planned_key is
'Sum of app.address_key over the segment at the last plan; another sum now means that it changed.';
comment on column app.klaviyo_sync_configs.remote_members is
'No longer written: app.klaviyo_members has the profiles on a list.';

call app.protect('app.klaviyo_members');
grant select on app.klaviyo_members to quintile_app;
