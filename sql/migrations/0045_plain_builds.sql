-- What follows a build that the service did not run: a plain dbt build records no run.

create table app.build_followups (
    tenant_id uuid not null,
    built_as_of timestamptz not null,
    constraint build_followups_pkey primary key (tenant_id),
    constraint build_followups_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table app.build_followups is
'The newest build after which updates of promo codes and customer metafields were queued.';
comment on column app.build_followups.built_as_of is 'As-of time of the build.';

call app.protect('app.build_followups');

grant select, insert, update, delete on app.build_followups to quintile_app;
grant select on app.build_followups to quintile_transform;

alter table app.webhook_progress
add column samples_as_of timestamptz;

comment on column app.webhook_progress.samples_as_of is
'As-of time of the newest build whose samples were processed.';

grant select (samples_as_of) on app.webhook_progress to quintile_transform;

comment on column app.shopify_metafield_changes.segment is
'The new segment; null if it stays, as are the scores. Null in a removal, which removes all.';
