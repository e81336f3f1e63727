-- Reading a shop's orders and customers in bulk, and noticing what is gone from it.

-- A bulk operation at Shopify whose rows have not landed yet: whoever comes next goes on with it.
-- The row leaves in the transaction that lands its rows.
create table shopify.bulk_operations (
    tenant_id uuid not null,
    resource text not null,
    operation_id text not null,
    query_hash text not null,
    began_at timestamptz not null,
    noted_at timestamptz not null default now(),
    attempt integer not null default 1,
    is_spent boolean not null default false,
    constraint bulk_operations_pkey primary key (tenant_id, resource),
    constraint bulk_operations_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table shopify.bulk_operations is 'Bulk operations at Shopify that have not landed yet.';
comment on column shopify.bulk_operations.query_hash is
'SHA-256 of the query: what an operation of another release asked for is not what we read.';
comment on column shopify.bulk_operations.began_at is 'When it was created, by the shop''s clock.';
comment on column shopify.bulk_operations.noted_at is 'When it was created, by ours.';
comment on column shopify.bulk_operations.attempt is 'How many were started since one landed.';
comment on column shopify.bulk_operations.is_spent is 'Nothing more is to be had of it.';

-- Orders and customers to be asked for by their ids, because a comparison with the shop found that
-- they differ or are gone.
create table shopify.rereads (
    tenant_id uuid not null,
    entity text not null,
    source_id text not null,
    is_visible boolean not null,
    noted_at timestamptz not null default now(),
    constraint rereads_pkey primary key (tenant_id, entity, source_id),
    constraint rereads_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint rereads_entity_check check (entity in ('customer', 'order'))
);

comment on table shopify.rereads is 'Orders and customers to be asked for one by one.';

comment on column shopify.rereads.is_visible is
'Whether we would be shown it if it were there: of old orders, null does not say that it is gone.';

call app.protect('shopify.bulk_operations');
call app.protect('shopify.rereads');

-- The few rows that wait to be purged.
create index orders_deleted_idx on shopify.orders (tenant_id, deleted_at)
where deleted_at is not null;

create index customers_deleted_idx on shopify.customers (tenant_id, deleted_at)
where deleted_at is not null;

grant select on shopify.bulk_operations, shopify.rereads to quintile_transform;
grant select, insert, update, delete on shopify.bulk_operations, shopify.rereads to quintile_app;
