-- Every sync, build and import leaves a row here; the API, the UI and the CLI read it.

create table app.runs (
    tenant_id uuid not null,
    run_id uuid not null default gen_random_uuid(),
    kind text not null,
    trigger text not null,
    state text not null default 'queued',
    phase text,
    done bigint not null default 0,
    total bigint,
    counts jsonb not null default '{}',
    error text,
    advice text,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    heartbeat_at timestamptz,
    finished_at timestamptz,
    constraint runs_pkey primary key (tenant_id, run_id),
    constraint runs_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint runs_kind_check check (
        kind in ('shopify_sync', 'klaviyo_sync', 'build', 'orders_import')
    ),
    constraint runs_trigger_check check (trigger in ('schedule', 'person', 'cli')),
    constraint runs_state_check check (state in ('queued', 'running', 'succeeded', 'failed')),
    constraint runs_finished_check check (
        (state in ('succeeded', 'failed')) = (finished_at is not null)
    )
);

create index runs_recent_idx on app.runs (tenant_id, created_at desc);

-- At most one unfinished run per tenant and kind: starting the same thing twice finds the first.
create unique index runs_unfinished_key on app.runs (tenant_id, kind)
where state in ('queued', 'running');

comment on table app.runs is 'Every sync, build and import: state, progress, counts and error.';
comment on column app.runs.done is 'Progress within the phase, in the unit the phase names.';

call app.protect('app.runs');

grant select on app.runs to quintile_transform;
grant select, insert, update on app.runs to quintile_app;
