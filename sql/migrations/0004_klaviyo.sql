-- Klaviyo: which segment feeds which list, and the ledger of what the last sync left there.

create table app.klaviyo_sync_configs (
    tenant_id uuid not null,
    config_id uuid not null default gen_random_uuid(),
    segment_key text not null,
    list_id text not null,
    list_name text not null,
    direction text not null default 'push',
    is_paused boolean not null default false,
    paused_reason text,
    created_at timestamptz not null default now(),
    last_synced_at timestamptz,
    constraint klaviyo_sync_configs_pkey primary key (tenant_id, config_id),
    constraint klaviyo_sync_configs_key unique (tenant_id, segment_key, list_id),
    constraint klaviyo_sync_configs_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint klaviyo_sync_configs_direction_check check (
        direction in ('push', 'pull', 'bidirectional')
    ),
    constraint klaviyo_sync_configs_segment_key_check check (
        segment_key ~ '^(rfm:[a-z_]+|shopify:[0-9]+)$'
    )
);

comment on table app.klaviyo_sync_configs is 'Which segment is kept in step with which list.';
comment on column app.klaviyo_sync_configs.segment_key is
'rfm:<segment> or shopify:<segment id>. The API key itself is in app.connections.';

-- The base of the three-way comparison: one row per address this configuration has dealt with.
create table app.klaviyo_ledger (
    tenant_id uuid not null,
    config_id uuid not null,
    email text not null,
    customer_id text not null,
    profile_id text,
    state text not null,
    error_code text,
    error_detail text,
    changed_at timestamptz not null default now(),
    constraint klaviyo_ledger_pkey primary key (tenant_id, config_id, email),
    constraint klaviyo_ledger_config_fkey foreign key (tenant_id, config_id)
    references app.klaviyo_sync_configs (tenant_id, config_id) on delete cascade,
    constraint klaviyo_ledger_state_check check (state in ('pending', 'synced', 'rejected')),
    constraint klaviyo_ledger_email_check check (email = lower(btrim(email)))
);

comment on table app.klaviyo_ledger is 'What each synced list holds because of us, row by row.';
comment on column app.klaviyo_ledger.state is
'pending: a change is on its way; synced: put on the list by us; rejected: refused, and why.';

call app.protect('app.klaviyo_sync_configs');
call app.protect('app.klaviyo_ledger');

grant select on app.klaviyo_sync_configs, app.klaviyo_ledger to quintile_transform;
grant select, insert, update, delete
on app.klaviyo_sync_configs, app.klaviyo_ledger to quintile_app;
