-- Who is told when a Klaviyo sync fails and when it works again, and how many profiles lists have.

-- Where a tenant wants to be told. The secret signs what is sent, and is sealed like a credential.
create table app.notification_hooks (
    tenant_id uuid not null,
    url text not null,
    sealed_secret bytea not null,
    key_id text not null,
    last_four text not null,
    created_at timestamptz not null default now(),
    constraint notification_hooks_pkey primary key (tenant_id),
    constraint notification_hooks_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint notification_hooks_url_check check (url ~ '^https?://')
);

comment on table app.notification_hooks is 'The address told of syncs that fail or recover.';
comment on column app.notification_hooks.sealed_secret is
'What the receiver knows the sender by; the vault seals it.';

-- What is to be told. Ids only: what is said of the run is read from its row when it is sent.
create table app.notifications (
    tenant_id uuid not null,
    notification_id uuid not null default gen_random_uuid(),
    topic text not null,
    config_id uuid,
    run_id uuid,
    state text not null default 'pending',
    attempts integer not null default 0,
    error text,
    created_at timestamptz not null default now(),
    finished_at timestamptz,
    constraint notifications_pkey primary key (tenant_id, notification_id),
    constraint notifications_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint notifications_run_fkey foreign key (tenant_id, run_id, config_id)
    references app.klaviyo_sync_runs (tenant_id, run_id, config_id) on delete cascade,
    constraint notifications_topic_check check (
        topic in ('klaviyo_sync.failed', 'klaviyo_sync.recovered', 'test')
    ),
    constraint notifications_subject_check check (
        (topic = 'test') = (run_id is null) and (run_id is null) = (config_id is null)
    ),
    constraint notifications_state_check check (state in ('pending', 'delivered', 'failed')),
    constraint notifications_finished_check check ((state = 'pending') = (finished_at is null))
);

create index notifications_recent_idx on app.notifications (tenant_id, created_at desc);

create index notifications_config_idx
on app.notifications (tenant_id, config_id, created_at desc) where config_id is not null;

comment on table app.notifications is
'What a tenant was told: of a configuration, the newest says whether it counts as failing.';
comment on column app.notifications.error is 'Why it could not be delivered at the last attempt.';

-- Klaviyo tells a list's size once a second and fifteen times a minute, so it is remembered.
create table app.klaviyo_list_counts (
    tenant_id uuid not null,
    list_id text not null,
    profile_count bigint not null,
    counted_at timestamptz not null,
    constraint klaviyo_list_counts_pkey primary key (tenant_id, list_id),
    constraint klaviyo_list_counts_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table app.klaviyo_list_counts is 'How many profiles each list had when last asked.';

call app.protect('app.notification_hooks');
call app.protect('app.notifications');
call app.protect('app.klaviyo_list_counts');

grant select on app.notification_hooks to quintile_transform;
grant select, insert, update, delete
on app.notification_hooks, app.notifications, app.klaviyo_list_counts
to quintile_app;
