-- Klaviyo both ways: how each list is kept in step, what is on it, what each sync did about it, and
-- the events that tell flows who came and went.

alter table app.klaviyo_sync_configs
drop constraint klaviyo_sync_configs_segment_key_check,
add column is_scheduled boolean not null default true,
add column fires_flows_on_first_sync boolean not null default false,
add column sends_events boolean not null default false,
add column paused_by text,
add column paused_at timestamptz,
add column confirmed_removals bigint,
add column first_synced_at timestamptz,
add column local_members bigint,
add column remote_members bigint,
add column drift bigint;

update app.klaviyo_sync_configs set first_synced_at = last_synced_at;

update app.klaviyo_sync_configs set paused_by = 'sync', paused_at = created_at where is_paused;

alter table app.klaviyo_sync_configs
add constraint klaviyo_sync_configs_segment_key_check check (
    segment_key ~ '^(rfm:[a-z_]+|shopify:[0-9]+|klaviyo:[A-Za-z0-9]+)$'
),
-- A list that is pulled is a segment itself, and feeds no list by being pulled.
add constraint klaviyo_sync_configs_pull_check check (
    (direction = 'pull') = (segment_key = 'klaviyo:' || list_id)
),
-- Says nothing of is_paused, which the release before this one sets by itself.
add constraint klaviyo_sync_configs_paused_check check (
    (paused_by is null) = (paused_at is null)
    and paused_by in ('person', 'sync', 'key')
);

comment on column app.klaviyo_sync_configs.segment_key is
'rfm:<segment>, shopify:<segment id> or klaviyo:<list id>, a list that is pulled.';
comment on column app.klaviyo_sync_configs.is_scheduled is
'Whether the schedule syncs it; a person may at any time.';
comment on column app.klaviyo_sync_configs.paused_by is
'person; sync: the list or the segment is gone; key: refused, which ends when one is accepted.';
comment on column app.klaviyo_sync_configs.fires_flows_on_first_sync is
'Whether the first sync may start the list''s flows, and its events others, for everybody.';
comment on column app.klaviyo_sync_configs.confirmed_removals is
'So many removals a person has agreed to after a sync stopped for their number; once.';
comment on column app.klaviyo_sync_configs.local_members is
'Members of the segment who can be written to, at the last plan.';
comment on column app.klaviyo_sync_configs.remote_members is
'Profiles on the list when the last sync ended.';
comment on column app.klaviyo_sync_configs.drift is
'Addresses that were still to be added, removed or taken by Klaviyo when the last sync ended.';

-- What is on a list, as far as it has been read: joins at every sync, departures at a full reading.
create table app.klaviyo_lists (
    tenant_id uuid not null,
    list_id text not null,
    name text not null,
    joins_read_to timestamptz,
    full_read_at timestamptz,
    gone_at timestamptz,
    constraint klaviyo_lists_pkey primary key (tenant_id, list_id),
    constraint klaviyo_lists_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table app.klaviyo_lists is 'Lists that some configuration reads or writes.';
comment on column app.klaviyo_lists.joins_read_to is
'The newest joined_group_at that has been read, which the next reading begins before.';
comment on column app.klaviyo_lists.full_read_at is 'When everybody on it was last read.';

create table app.klaviyo_list_profiles (
    tenant_id uuid not null,
    list_id text not null,
    profile_id text not null,
    email text,
    joined_at timestamptz,
    is_suppressed boolean not null default false,
    constraint klaviyo_list_profiles_pkey primary key (tenant_id, list_id, profile_id),
    constraint klaviyo_list_profiles_list_fkey foreign key (tenant_id, list_id)
    references app.klaviyo_lists (tenant_id, list_id) on delete cascade,
    constraint klaviyo_list_profiles_email_check check (email = lower(btrim(email)))
);

create index klaviyo_list_profiles_email_idx
on app.klaviyo_list_profiles (tenant_id, list_id, email);

comment on table app.klaviyo_list_profiles is 'Profiles on each list, as last read.';
comment on column app.klaviyo_list_profiles.email is 'Null for a profile without an address.';
comment on column app.klaviyo_list_profiles.is_suppressed is
'Whether Klaviyo sends the profile no marketing, as far as the list was read.';

-- The base now remembers every member of the segment, so that who came and who went is known.
alter table app.klaviyo_ledger
drop constraint klaviyo_ledger_state_check,
alter column customer_id drop not null,
add column is_member boolean not null default true,
add column refused_hash text,
add constraint klaviyo_ledger_state_check check (
    state in ('pending', 'synced', 'rejected', 'kept', 'removed')
),
add constraint klaviyo_ledger_refused_check check (refused_hash is null or state = 'rejected');

comment on column app.klaviyo_ledger.state is
'pending: a change is on its way; synced: put on the list by us; rejected: refused, and why;
kept: a member who was on the list without us; removed: taken off the list by a person.';
comment on column app.klaviyo_ledger.customer_id is
'Null for a member of a pulled list who is no customer.';
comment on column app.klaviyo_ledger.profile_id is
'Null until the profile has been seen on the list.';
comment on column app.klaviyo_ledger.is_member is
'Whether the address was in the segment at the last sync.';
comment on column app.klaviyo_ledger.refused_hash is
'What was refused; the address is tried again when it would send something else.';

-- The properties Klaviyo holds of a profile because of us, whichever configuration sent them.
create table app.klaviyo_profiles (
    tenant_id uuid not null,
    email text not null,
    properties_hash text not null,
    sent_at timestamptz not null default now(),
    constraint klaviyo_profiles_pkey primary key (tenant_id, email),
    constraint klaviyo_profiles_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint klaviyo_profiles_email_check check (email = lower(btrim(email)))
);

comment on table app.klaviyo_profiles is 'Which properties each profile was last given.';

-- One configuration in one run: asked for, going on, or what became of it.
create table app.klaviyo_sync_runs (
    tenant_id uuid not null,
    run_id uuid not null,
    config_id uuid not null,
    segment_key text not null,
    list_id text not null,
    list_name text not null,
    direction text not null,
    is_dry_run boolean not null default false,
    state text not null default 'queued',
    stopped_for text,
    plan jsonb,
    counts jsonb not null default '{}',
    errors jsonb not null default '{}',
    calls bigint not null default 0,
    error text,
    advice text,
    requested_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    constraint klaviyo_sync_runs_pkey primary key (tenant_id, run_id, config_id),
    constraint klaviyo_sync_runs_run_fkey foreign key (tenant_id, run_id)
    references app.runs (tenant_id, run_id) on delete cascade,
    constraint klaviyo_sync_runs_config_fkey foreign key (tenant_id, config_id)
    references app.klaviyo_sync_configs (tenant_id, config_id) on delete cascade,
    constraint klaviyo_sync_runs_state_check check (
        state in ('queued', 'running', 'succeeded', 'failed', 'stopped', 'paused')
    ),
    constraint klaviyo_sync_runs_stopped_check check (
        (state = 'stopped') = (stopped_for is not null)
        and stopped_for in ('removals', 'flows')
    ),
    constraint klaviyo_sync_runs_finished_check check (
        (state in ('queued', 'running')) = (finished_at is null)
    )
);

create index klaviyo_sync_runs_recent_idx
on app.klaviyo_sync_runs (tenant_id, config_id, requested_at desc);

comment on table app.klaviyo_sync_runs is 'What each sync did about each configuration.';
comment on column app.klaviyo_sync_runs.stopped_for is
'What a person has to agree to first: so many removals, or flows that would start for everybody.';
comment on column app.klaviyo_sync_runs.plan is
'Per action how many addresses it befalls, and a few of them as examples.';
comment on column app.klaviyo_sync_runs.errors is 'How often each of Klaviyo''s error codes came.';

-- Events that are to be sent, in the order of their making; each keeps its id until Klaviyo has it.
create table app.klaviyo_events (
    tenant_id uuid not null,
    event_id uuid not null default gen_random_uuid(),
    config_id uuid not null,
    email text not null,
    metric text not null,
    properties jsonb not null,
    is_backfill boolean not null,
    occurred_at timestamptz not null,
    state text not null default 'pending',
    error_code text,
    error_detail text,
    sent_at timestamptz,
    constraint klaviyo_events_pkey primary key (tenant_id, event_id),
    constraint klaviyo_events_config_fkey foreign key (tenant_id, config_id)
    references app.klaviyo_sync_configs (tenant_id, config_id) on delete cascade,
    constraint klaviyo_events_metric_check check (metric in ('Entered Segment', 'Left Segment')),
    constraint klaviyo_events_state_check check (state in ('pending', 'sent', 'rejected')),
    constraint klaviyo_events_email_check check (email = lower(btrim(email)))
);

create index klaviyo_events_pending_idx
on app.klaviyo_events (tenant_id, config_id, event_id) where state = 'pending';

comment on table app.klaviyo_events is
'Who entered or left a segment, for Klaviyo''s flows. The event''s id is its unique_id there.';

call app.protect('app.klaviyo_lists');
call app.protect('app.klaviyo_list_profiles');
call app.protect('app.klaviyo_profiles');
call app.protect('app.klaviyo_sync_runs');
call app.protect('app.klaviyo_events');

grant select
on app.klaviyo_lists, app.klaviyo_list_profiles, app.klaviyo_profiles, app.klaviyo_sync_runs,
app.klaviyo_events
to quintile_transform;
grant select, insert, update, delete
on app.klaviyo_lists, app.klaviyo_list_profiles, app.klaviyo_profiles, app.klaviyo_sync_runs,
app.klaviyo_events
to quintile_app;
