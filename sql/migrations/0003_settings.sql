-- What a tenant can decide: how RFM counts and what a sample is. The column defaults are the
-- product's defaults; a tenant gets its row when it is added.

create table app.rfm_settings (
    tenant_id uuid not null,
    window_days integer not null default 365,
    excluded_customer_ids text[] not null default '{}',
    updated_at timestamptz not null default now(),
    constraint rfm_settings_pkey primary key (tenant_id),
    constraint rfm_settings_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint rfm_settings_window_days_check check (window_days between 1 and 3650),
    constraint rfm_settings_excluded_check check (
        array_position(excluded_customer_ids, null) is null
    )
);

comment on table app.rfm_settings is 'How RFM counts, per tenant.';
comment on column app.rfm_settings.excluded_customer_ids is
'Customers that are not people, such as a connector''s default customer.';

-- A pattern that ends in a lone backslash makes every LIKE that uses it an error, and an empty one
-- matches only the empty string: neither may be stored.
create function app.are_like_patterns_valid(patterns text[]) returns boolean
language sql immutable parallel safe
return (
    select coalesce(
        bool_and(
            pattern is not null
            and btrim(pattern) <> ''
            and length(substring(pattern from '\\*$')) % 2 = 0
        ),
        true
    )
    from unnest(patterns) as pattern
);

create function app.are_tags_valid(tags text[]) returns boolean
language sql immutable parallel safe
return (
    select coalesce(bool_and(tag is not null and btrim(tag) <> ''), true) from unnest(tags) as tag
);

create table app.samples_config (
    tenant_id uuid not null,
    ugc_tags text[] not null default '{ugc-sample,ugc,creator-sample}',
    tiktok_tags text[] not null default '{tiktok-sample,tiktok-shop-sample,"Free sample"}',
    channel_patterns text[] not null default '{tiktok%,"%tiktok shop%"}',
    zero_price_only boolean not null default true,
    updated_at timestamptz not null default now(),
    constraint samples_config_pkey primary key (tenant_id),
    constraint samples_config_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint samples_config_ugc_tags_check check (app.are_tags_valid(ugc_tags)),
    constraint samples_config_tiktok_tags_check check (app.are_tags_valid(tiktok_tags)),
    constraint samples_config_patterns_check check (
        app.are_like_patterns_valid(channel_patterns)
    )
);

comment on table app.samples_config is 'What makes an order a sample, per tenant.';
comment on column app.samples_config.channel_patterns is 'ILIKE patterns over channel names.';
comment on column app.samples_config.zero_price_only is
'When true, an order is a sample only if its goods cost nothing.';

call app.protect('app.rfm_settings');
call app.protect('app.samples_config');

grant select on app.rfm_settings, app.samples_config to quintile_transform;
grant select, insert, update on app.rfm_settings, app.samples_config to quintile_app;
