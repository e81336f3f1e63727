-- Every change by a person, a token or a command: who, what, before and after. The service adds
-- rows and cannot change or delete them; they go with the tenant. before and after hold no personal
-- data of customers or creators, whom erasure would not find there.

create table app.audit_log (
    tenant_id uuid not null,
    entry_id uuid not null default gen_random_uuid(),
    made_at timestamptz not null default now(),
    actor text not null,
    actor_kind text not null,
    credential_id uuid,
    action text not null,
    subject text not null,
    before jsonb,
    after jsonb,
    constraint audit_log_pkey primary key (tenant_id, entry_id),
    constraint audit_log_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint audit_log_kind_check check (
        actor_kind in ('token', 'person', 'platform', 'command')
    )
);

create index audit_log_made_at_idx on app.audit_log (tenant_id, made_at desc, entry_id);

comment on table app.audit_log is 'Changes by people, tokens and commands.';
comment on column app.audit_log.actor is 'A person, a token''s name and end, or the command line.';
comment on column app.audit_log.actor_kind is
'token, person (a sign-in link), platform (a token that it signed) or command (the command line).';
comment on column app.audit_log.credential_id is 'Id of the token or session; null for others.';
comment on column app.audit_log.action is 'What was done, such as rfm_settings.changed.';
comment on column app.audit_log.subject is 'Id or name of what was changed; may be empty.';

call app.protect('app.audit_log');

-- When and as which entry is not for the service to say.
grant select on app.audit_log to quintile_app;
grant insert (
    tenant_id, actor, actor_kind, credential_id, action, subject, before, after
) on app.audit_log to quintile_app;
grant select (tenant_id) on app.audit_log to quintile_transform;
