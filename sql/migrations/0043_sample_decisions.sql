-- What people decided about orders that are almost samples.

create table app.sample_decisions (
    tenant_id uuid not null,
    order_id text not null,
    decision text not null,
    decided_by text not null,
    decided_at timestamptz not null default now(),
    constraint sample_decisions_pkey primary key (tenant_id, order_id),
    constraint sample_decisions_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint sample_decisions_decision_check check (decision in ('ugc', 'tiktok', 'dismissed'))
);

comment on table app.sample_decisions is
'Orders that a person made samples, and suggestions that a person dismissed.';
comment on column app.sample_decisions.decision is
'Type of sample that the order is, whatever the settings; dismissed: not suggested again.';
comment on column app.sample_decisions.decided_by is 'Who decided it.';

call app.protect('app.sample_decisions');

grant select on app.sample_decisions to quintile_transform;
grant select, insert, update, delete on app.sample_decisions to quintile_app;
