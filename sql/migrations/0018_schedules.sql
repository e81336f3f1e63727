-- Schedules per tenant, turns at the worker, and runs that wait for another try.

-- One row per tenant and schedule that has come due or was paused. What schedules there are, and
-- when they are due, is for the settings to say.
create table app.schedules (
    tenant_id uuid not null,
    name text not null,
    served_at timestamptz,
    paused_at timestamptz,
    paused_by text,
    constraint schedules_pkey primary key (tenant_id, name),
    constraint schedules_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint schedules_name_check check (name ~ '^[a-z]+(_[a-z]+)*$'),
    constraint schedules_paused_check check ((paused_at is null) = (paused_by is null))
);

comment on table app.schedules is 'How far each schedule of a tenant has been served, or paused.';
comment on column app.schedules.served_at is
'The time of the schedule that was served last, or from which on it counts; null for since ever.';
comment on column app.schedules.paused_by is 'Who paused it, in words.';

-- Whose turn it is: the worker serves the tenant first that has waited longest.
create table app.turns (
    tenant_id uuid not null,
    taken_at timestamptz not null,
    constraint turns_pkey primary key (tenant_id),
    constraint turns_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
) with (fillfactor = 50);

comment on table app.turns is 'When a worker last began a job of each tenant.';

-- What a schedule may rely on: connected, accepted, and the app not removed from the store.
create view app.reachable_connections with (security_invoker = true) as
select
    c.tenant_id,
    c.provider
from app.connections as c
where
    c.state = 'active'
    and not exists (
        select from app.connections as u
        where
            u.tenant_id = c.tenant_id
            and u.provider = 'shopify'
            and u.uninstalled_at is not null
    );

comment on view app.reachable_connections is 'Connections that schedules may use.';

alter table app.runs add column next_attempt_at timestamptz;

comment on column app.runs.next_attempt_at is
'When a run is tried again that failed for a reason that passes; error says which.';

-- What is due now has been served by the release before this one, whose schedules knew no tenants.
insert into app.schedules (tenant_id, name, served_at)
select
    t.tenant_id,
    s.name,
    now()
from app.tenants as t
cross join (
    values ('segments'), ('orders'), ('build'), ('klaviyo'), ('klaviyo_members'), ('housekeeping')
) as s (name);

call app.protect('app.schedules');
call app.protect('app.turns');
call app.protect('app.reachable_connections');

grant select on app.schedules, app.reachable_connections to quintile_transform;
grant select, insert, update on app.turns to quintile_transform;
grant select, insert, update on app.schedules to quintile_app;
grant select on app.reachable_connections to quintile_app;
