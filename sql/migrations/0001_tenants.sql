-- Tenants, their access and their credentials.
--
-- Every table below is tenant-scoped: tenant_id is its first key column, and app.protect() (in
-- sql/rls) puts it under row level security before the migration that made it commits.

-- One row per brand. The registry is written by operators (quintile_owner) only; the two look-up
-- keys that precede a tenant, name and shop domain, are the only keys not led by tenant_id.
create table app.tenants (
    tenant_id uuid not null default gen_random_uuid(),
    name text not null,
    shop_domain text,
    currency text,
    time_zone text not null default 'UTC',
    created_at timestamptz not null default now(),
    constraint tenants_pkey primary key (tenant_id),
    constraint tenants_name_key unique (name),
    constraint tenants_shop_domain_key unique (shop_domain),
    constraint tenants_name_check check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    constraint tenants_shop_domain_check check (
        shop_domain ~ '^[a-z0-9][a-z0-9-]*\.myshopify\.com$'
    ),
    constraint tenants_currency_check check (currency ~ '^[A-Z]{3}$')
);

comment on table app.tenants is 'One row per brand; every other row belongs to one of them.';
comment on column app.tenants.currency is 'ISO 4217 code of the shop; null until known.';
comment on column app.tenants.time_zone is 'IANA name; the shop''s own once it is connected.';

-- API tokens: only a SHA-256 digest is kept. The tenant is part of the token's text, so finding a
-- token needs no look-up across tenants.
create table app.api_tokens (
    tenant_id uuid not null,
    token_hash bytea not null,
    label text not null,
    last_four text not null,
    created_at timestamptz not null default now(),
    last_used_on date,
    revoked_at timestamptz,
    constraint api_tokens_pkey primary key (tenant_id, token_hash),
    constraint api_tokens_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint api_tokens_hash_check check (octet_length(token_hash) = 32)
);

comment on table app.api_tokens is 'Digests of the API tokens of each tenant.';

-- Single-use codes behind the sign-in links that an operator prints.
create table app.sign_in_codes (
    tenant_id uuid not null,
    code_hash bytea not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    constraint sign_in_codes_pkey primary key (tenant_id, code_hash),
    constraint sign_in_codes_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table app.sign_in_codes is 'Digests of single-use sign-in codes.';

-- One row per tenant and provider. The secret is sealed with AES-GCM, bound to tenant and provider.
create table app.connections (
    tenant_id uuid not null,
    provider text not null,
    account_name text,
    sealed_secret bytea not null,
    key_id text not null,
    last_four text not null,
    scopes text[] not null default '{}',
    state text not null default 'active',
    state_reason text,
    connected_at timestamptz not null default now(),
    verified_at timestamptz,
    constraint connections_pkey primary key (tenant_id, provider),
    constraint connections_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint connections_provider_check check (provider in ('shopify', 'klaviyo')),
    constraint connections_state_check check (state in ('active', 'refused'))
);

comment on table app.connections is 'Sealed credentials per tenant and provider.';
comment on column app.connections.key_id is 'Which key of the ring sealed the secret.';

call app.protect('app.tenants');
call app.protect('app.api_tokens');
call app.protect('app.sign_in_codes');
call app.protect('app.connections');

grant select on app.tenants to quintile_transform;
-- The fan-out needs to know who is connected, and nothing of the secret.
grant select (tenant_id, provider, state) on app.connections to quintile_transform;
grant select, update (currency, time_zone) on app.tenants to quintile_app;
grant select, update (last_used_on) on app.api_tokens to quintile_app;
grant select, update (used_at) on app.sign_in_codes to quintile_app;
grant select, insert, update, delete on app.connections to quintile_app;
