-- Connections that last: tokens that expire, what the shop told of itself, and one account of the
-- points that all processes of a tenant spend at Shopify.

-- A tenant that is disconnected keeps its row without the secret: landed data is one shop's, and
-- the row is what keeps the tenant from being given another.
alter table app.connections
alter column sealed_secret drop not null,
alter column key_id drop not null,
drop constraint connections_state_check,
add column plan text,
add column access_expires_at timestamptz,
add column refresh_expires_at timestamptz,
add column refresher uuid,
add column refresher_until timestamptz,
add column api_version_asked text,
add column api_version_served text,
add constraint connections_state_check check (state in ('active', 'refused', 'disconnected')),
add constraint connections_secret_check check (
    (state = 'disconnected') = (sealed_secret is null)
    and (sealed_secret is null) = (key_id is null)
),
add constraint connections_expiry_check check (
    refresh_expires_at is null or access_expires_at is not null
),
add constraint connections_refresher_check check (
    (refresher is null) = (refresher_until is null)
);

comment on column app.connections.sealed_secret is
'The token; of a token that expires, the pair of access and refresh token as one JSON object.';
comment on column app.connections.plan is 'The shop''s plan, in the words of the provider.';
comment on column app.connections.access_expires_at is
'When the access token has to be exchanged for another; null for a permanent one.';
comment on column app.connections.refresh_expires_at is
'When the refresh token ends unless it is used before; null when the provider did not say.';
comment on column app.connections.refresher is
'The process that is refreshing the token now; it may store the new pair until refresher_until.';
comment on column app.connections.api_version_served is
'The version that answered last; another than the one asked for, when that is unsupported.';

-- What Shopify's bucket holds for a tenant's shop, less what has been reserved and not yet told of.
create table app.shopify_buckets (
    tenant_id uuid not null,
    maximum double precision not null,
    restore_rate double precision not null,
    available double precision not null,
    outstanding jsonb not null,
    reserved double precision not null,
    counted_at timestamptz not null,
    constraint shopify_buckets_pkey primary key (tenant_id),
    constraint shopify_buckets_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint shopify_buckets_check check (maximum > 0 and restore_rate > 0)
) with (fillfactor = 10);

-- What has been reserved and not been answered. Whoever died over it is forgotten in time.
create function app.points_outstanding(outstanding jsonb, moment timestamptz)
returns double precision
language sql immutable parallel safe
return (
    select coalesce(sum((value ->> 'points')::double precision), 0)
    from jsonb_each(outstanding)
    where (value ->> 'until')::timestamptz > moment
);

comment on table app.shopify_buckets is 'Points a tenant may spend at Shopify, for all processes.';
comment on column app.shopify_buckets.available is
'Points left at counted_at; below zero when more has been reserved than there is yet.';
comment on column app.shopify_buckets.outstanding is
'What was reserved by queries not answered yet: points, and until when they count, by place.';
comment on column app.shopify_buckets.reserved is
'All points ever reserved: a reservation''s place in the queue.';

call app.protect('app.shopify_buckets');

grant select, insert, update on app.shopify_buckets to quintile_app;
