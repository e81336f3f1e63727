-- Schema shopify: what the store says, typed, one row per thing. Ids are the numbers of Shopify's
-- gids as text; money is integer minor units of the row's currency; times are instants.
-- shopify_updated_at is the store's own clock (older news never overwrites newer), landed_at ours.

create table shopify.customers (
    tenant_id uuid not null,
    customer_id text not null,
    email text,
    display_name text,
    marketing_state text,
    tags text[] not null default '{}',
    created_at timestamptz,
    shopify_updated_at timestamptz,
    landed_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint customers_pkey primary key (tenant_id, customer_id),
    constraint customers_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table shopify.customers is 'Customers as landed from the store.';

create table shopify.orders (
    tenant_id uuid not null,
    order_id text not null,
    order_number text,
    customer_id text,
    customer_email text,
    customer_name text,
    processed_at timestamptz not null,
    cancelled_at timestamptz,
    is_test boolean not null default false,
    currency text not null,
    total_minor bigint not null,
    subtotal_minor bigint not null,
    refunded_minor bigint not null default 0,
    financial_status text,
    fulfillment_status text,
    channel text,
    tags text[] not null default '{}',
    note text,
    line_items jsonb not null default '[]',
    first_fulfilled_at timestamptz,
    delivered_at timestamptz,
    source text not null,
    shopify_updated_at timestamptz,
    landed_at timestamptz not null default now(),
    deleted_at timestamptz,
    constraint orders_pkey primary key (tenant_id, order_id),
    constraint orders_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint orders_currency_check check (currency ~ '^[A-Z]{3}$'),
    constraint orders_source_check check (source in ('api', 'csv'))
);

create index orders_customer_idx on shopify.orders (tenant_id, customer_id);

comment on table shopify.orders is 'Orders as landed from the store or a CSV file.';
comment on column shopify.orders.total_minor is 'What was charged, in minor units of currency.';
comment on column shopify.orders.subtotal_minor is
'Goods after discounts, without shipping, as first ordered, in minor units of currency.';
comment on column shopify.orders.refunded_minor is 'Refunded so far, in minor units of currency.';
comment on column shopify.orders.line_items is
'Array of {title, variant_title, sku, quantity, unit_price_minor, total_minor}.';

-- Shopify's own segments, read only.
create table shopify.cached_segments (
    tenant_id uuid not null,
    segment_id text not null,
    name text not null,
    query text not null,
    member_count integer not null default 0,
    created_at timestamptz,
    last_edited_at timestamptz,
    synced_at timestamptz not null,
    gone_at timestamptz,
    constraint cached_segments_pkey primary key (tenant_id, segment_id),
    constraint cached_segments_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table shopify.cached_segments is 'Shopify''s own customer segments, as last synced.';
comment on column shopify.cached_segments.gone_at is 'When the store no longer had the segment.';

create table shopify.segment_members (
    tenant_id uuid not null,
    segment_id text not null,
    customer_id text not null,
    email text,
    display_name text,
    marketing_state text,
    landed_at timestamptz not null default now(),
    constraint segment_members_pkey primary key (tenant_id, segment_id, customer_id),
    constraint segment_members_segment_fkey foreign key (tenant_id, segment_id)
    references shopify.cached_segments (tenant_id, segment_id) on delete cascade
);

comment on table shopify.segment_members is 'Members of the cached segments.';

-- What could not be read, with the reason; a row leaves when a later landing of it succeeds.
create table shopify.rejected_rows (
    tenant_id uuid not null,
    entity text not null,
    source_id text not null,
    reason text not null,
    payload jsonb not null,
    rejected_at timestamptz not null default now(),
    constraint rejected_rows_pkey primary key (tenant_id, entity, source_id),
    constraint rejected_rows_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table shopify.rejected_rows is 'Records set aside because they could not be read.';

-- How far each resource has been read; moves only with the rows it vouches for.
create table shopify.sync_watermarks (
    tenant_id uuid not null,
    resource text not null,
    watermark timestamptz,
    synced_at timestamptz not null,
    constraint sync_watermarks_pkey primary key (tenant_id, resource),
    constraint sync_watermarks_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table shopify.sync_watermarks is 'Newest updated_at landed per tenant and resource.';

call app.protect('shopify.customers');
call app.protect('shopify.orders');
call app.protect('shopify.cached_segments');
call app.protect('shopify.segment_members');
call app.protect('shopify.rejected_rows');
call app.protect('shopify.sync_watermarks');

grant select on all tables in schema shopify to quintile_transform;
grant select, insert, update, delete on all tables in schema shopify to quintile_app;
