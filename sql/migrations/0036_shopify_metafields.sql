-- RFM segments and scores in customer metafields of the store, for its own segments, discounts and
-- Flow. Off until a tenant turns it on.

create table app.shopify_metafields (
    tenant_id uuid not null,
    is_enabled boolean not null,
    changed_at timestamptz not null default now(),
    changed_by text not null,
    definitions jsonb not null default '{}',
    upload_id uuid,
    upload_batches integer not null default 0,
    operation_id text,
    constraint shopify_metafields_pkey primary key (tenant_id),
    constraint shopify_metafields_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table app.shopify_metafields is
'Whether a tenant has RFM in customer metafields, and the bulk mutation under way, if any.';
comment on column app.shopify_metafields.definitions is
'Ids of the metafield definitions in the store, by key; an id that changes was deleted by hand.';
comment on column app.shopify_metafields.upload_id is
'Names the bulk mutation under way, before and after Shopify has given it an id.';
comment on column app.shopify_metafields.upload_batches is
'Batches of app.shopify_metafield_changes in the upload: 0 to this number, exclusive.';
comment on column app.shopify_metafields.operation_id is
'The bulk operation under way, once Shopify has given it an id.';

create table app.shopify_customer_metafields (
    tenant_id uuid not null,
    customer_id text not null,
    segment text,
    r_score smallint,
    f_score smallint,
    m_score smallint,
    written_at timestamptz,
    refused_at timestamptz,
    refused_reason text,
    constraint shopify_customer_metafields_pkey primary key (tenant_id, customer_id),
    constraint shopify_customer_metafields_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

-- Refusals are few among many customers.
create index shopify_customer_metafields_refused_idx
on app.shopify_customer_metafields (tenant_id, refused_at desc)
where refused_at is not null;

comment on table app.shopify_customer_metafields is
'The ledger: what Shopify has accepted as each customer''s metafields, and what it refused.';
comment on column app.shopify_customer_metafields.segment is
'The segment in the store; null if there is none, as are the scores.';
comment on column app.shopify_customer_metafields.refused_reason is
'Why Shopify refused the last change of this customer, in its words.';

create table app.shopify_metafield_changes (
    tenant_id uuid not null,
    customer_id text not null,
    is_removal boolean not null,
    batch integer not null,
    segment text,
    r_score smallint,
    f_score smallint,
    m_score smallint,
    constraint shopify_metafield_changes_pkey primary key (tenant_id, customer_id),
    constraint shopify_metafield_changes_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

create index shopify_metafield_changes_batch_idx
on app.shopify_metafield_changes (tenant_id, is_removal, batch, customer_id);

comment on table app.shopify_metafield_changes is
'What has still to change in the store, by customer; a row goes when Shopify has accepted it.';
comment on column app.shopify_metafield_changes.is_removal is
'Whether the metafields are removed, instead of set.';
comment on column app.shopify_metafield_changes.batch is
'Rows of a batch are one call, or one line of a bulk mutation.';
comment on column app.shopify_metafield_changes.segment is
'The new segment; null if it stays, as are the scores. Of a removal: what is removed.';

call app.protect('app.shopify_metafields');

call app.protect('app.shopify_customer_metafields');

call app.protect('app.shopify_metafield_changes');

grant select, insert, update, delete on app.shopify_metafields to quintile_app;

grant select, insert, update, delete on app.shopify_customer_metafields to quintile_app;

grant select, insert, update, delete on app.shopify_metafield_changes to quintile_app;

grant select (tenant_id) on app.shopify_metafields to quintile_transform;

grant select (tenant_id) on app.shopify_customer_metafields to quintile_transform;

grant select (tenant_id) on app.shopify_metafield_changes to quintile_transform;
