-- When customers entered and left Shopify's segments, and the size of segments by day. RFM segments
-- have both in marts. Lists take every key that an RFM segment may have.

alter table app.klaviyo_sync_configs
drop constraint klaviyo_sync_configs_segment_key_check,
add constraint klaviyo_sync_configs_segment_key_check check (
    segment_key ~ '^(rfm:[a-z][a-z0-9_]*|shopify:[0-9]+|klaviyo:[A-Za-z0-9]+)$'
);

alter table shopify.segment_members
add column entered_at timestamptz;

comment on column shopify.segment_members.entered_at is
'When the customer was first seen in the segment; null if the first reading already had them.';

create table shopify.segment_changes (
    tenant_id uuid not null,
    segment_id text not null,
    customer_id text not null,
    changed_at timestamptz not null,
    has_entered boolean not null,
    landed_xid xid8 not null default pg_current_xact_id(),
    constraint segment_changes_pkey primary key (tenant_id, segment_id, changed_at, customer_id),
    constraint segment_changes_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

create index segment_changes_customer_idx
on shopify.segment_changes (tenant_id, customer_id, changed_at);

create index segment_changes_landed_idx on shopify.segment_changes (tenant_id, landed_xid);

comment on table shopify.segment_changes is
'Customers who entered or left a Shopify segment since its first reading. Deleting a segment is no '
'change of its members.';
comment on column shopify.segment_changes.changed_at is
'When the reading or webhook that found the change began.';
comment on column shopify.segment_changes.has_entered is 'False: the customer left.';
comment on column shopify.segment_changes.landed_xid is
'The transaction that wrote the row: readers who follow changes use it, because a long transaction '
'commits rows that are older than others already read.';

create table app.segment_sizes (
    tenant_id uuid not null,
    segment_id text not null,
    recorded_on date not null,
    members integer not null,
    constraint segment_sizes_pkey primary key (tenant_id, segment_id, recorded_on),
    constraint segment_sizes_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table app.segment_sizes is
'Members of Shopify segments and pulled lists by day, as the last sync of the day found them.';
comment on column app.segment_sizes.segment_id is 'shopify:<segment id> or klaviyo:<list id>.';
comment on column app.segment_sizes.recorded_on is 'Date in the tenant''s time zone.';

call app.protect('shopify.segment_changes');
call app.protect('app.segment_sizes');

grant select on shopify.segment_changes, app.segment_sizes to quintile_transform;
grant select, insert, update, delete on shopify.segment_changes, app.segment_sizes to quintile_app;
