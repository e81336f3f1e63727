-- Reading past records that Shopify cannot serve, positions in its index, and withheld fields.

-- How far a reading of pages under way has got, so that the next sync goes on there. It leaves with
-- the last page, when the watermark moves.
create table shopify.sync_positions (
    tenant_id uuid not null,
    resource text not null,
    revision integer not null,
    search text,
    cursor text not null,
    latest timestamptz[] not null,
    began_at timestamptz not null,
    saved_at timestamptz not null default now(),
    constraint sync_positions_pkey primary key (tenant_id, resource),
    constraint sync_positions_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table shopify.sync_positions is 'Where a reading of pages under way has got to.';
comment on column shopify.sync_positions.revision is
'Which fields are read, as in sync_watermarks.';
comment on column shopify.sync_positions.search is 'The search being paged; null for all records.';
comment on column shopify.sync_positions.cursor is 'Shopify''s cursor of the last loaded page.';
comment on column shopify.sync_positions.latest is
'When the last records of the index that were read had changed, in the index''s order.';
comment on column shopify.sync_positions.began_at is 'When the reading began, by our clock.';

-- Fields that Shopify denies the app, as the last sync found.
create table shopify.withheld_fields (
    tenant_id uuid not null,
    field text not null,
    reason text not null,
    noted_at timestamptz not null default now(),
    constraint withheld_fields_pkey primary key (tenant_id, field),
    constraint withheld_fields_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table shopify.withheld_fields is 'Fields that Shopify denies the app.';
comment on column shopify.withheld_fields.reason is 'What Shopify says about it.';

alter table shopify.rereads
add column tried_at timestamptz;

comment on column shopify.rereads.tried_at is
'When Shopify last could not serve the record; null if it has not been asked for it yet.';

alter table shopify.sync_watermarks
add column is_complete boolean not null default true,
add column complete_to timestamptz;

comment on column shopify.sync_watermarks.is_complete is
'Whether everything up to the watermark was read with all fields.';
comment on column shopify.sync_watermarks.complete_to is
'How far it was read with all fields, while is_complete is false; null for nothing.';

call app.protect('shopify.sync_positions');
call app.protect('shopify.withheld_fields');

grant select on shopify.sync_positions, shopify.withheld_fields to quintile_transform;
grant select, insert, update, delete on shopify.sync_positions, shopify.withheld_fields
to quintile_app;
