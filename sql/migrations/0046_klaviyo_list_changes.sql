-- Who entered and left pulled lists, as it is recorded for Shopify's segments.

create table app.klaviyo_list_changes (
    tenant_id uuid not null,
    list_id text not null,
    profile_id text not null,
    email text,
    changed_at timestamptz not null,
    has_entered boolean not null,
    constraint klaviyo_list_changes_pkey primary key (tenant_id, list_id, changed_at, profile_id),
    constraint klaviyo_list_changes_list_fkey foreign key (tenant_id, list_id)
    references app.klaviyo_lists (tenant_id, list_id) on delete cascade
);

create index klaviyo_list_changes_email_idx on app.klaviyo_list_changes (tenant_id, email);

create index klaviyo_list_changes_profile_idx
on app.klaviyo_list_changes (tenant_id, list_id, profile_id);

comment on table app.klaviyo_list_changes is
'Profiles that entered or left a pulled list since its first reading.';
comment on column app.klaviyo_list_changes.changed_at is
'When the reading that found the change began, or when a sync removed the profile. Klaviyo does '
'not tell when a profile left.';
comment on column app.klaviyo_list_changes.has_entered is 'False: the profile left.';

call app.protect('app.klaviyo_list_changes');

grant select, insert, update, delete on app.klaviyo_list_changes to quintile_app;
grant select (tenant_id) on app.klaviyo_list_changes to quintile_transform;
