-- What webhooks have confirmed of memberships, also where it changed nothing: a reading of a
-- segment that began before must not undo it. A reading deletes what is older than itself.

create table shopify.segment_confirmations (
    tenant_id uuid not null,
    segment_id text not null,
    customer_id text not null,
    confirmed_at timestamptz not null,
    is_member boolean not null,
    constraint segment_confirmations_pkey primary key (tenant_id, segment_id, customer_id),
    constraint segment_confirmations_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

create index segment_confirmations_customer_idx
on shopify.segment_confirmations (tenant_id, customer_id);

comment on table shopify.segment_confirmations is
'What the store last answered to webhooks about a customer and a segment, since the last reading '
'of the segment.';
comment on column shopify.segment_confirmations.confirmed_at is 'When the answer was stored.';

call app.protect('shopify.segment_confirmations');

grant select, insert, update, delete on shopify.segment_confirmations to quintile_app;
