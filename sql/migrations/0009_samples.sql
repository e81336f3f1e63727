-- Samples: what finds the few candidates among a tenant's orders.

-- What two tags are compared by: the macro tag_key says the same to dbt, and a test compares them.
-- Signs that may be written in two ways (é as one code point or as two) are one sign.
create function app.tag_key(tag text) returns text
language sql immutable parallel safe
return lower(btrim(normalize(tag, nfc), e' \t\r\n'));

-- The tags of one tenant as numbers, for the index below. A number leads from tag and tenant to the
-- orders; whoever finds orders by it compares the tags themselves afterwards, so that two tags with
-- one number do no harm. Numbers have one size, and GIN refuses a long text. The body is parsed
-- when the function is made, so it means the same whatever the search_path of a restore.
create function app.tenant_tag_numbers(tenant_id uuid, tags text[]) returns bigint[]
language sql immutable parallel safe
return (
    select array_agg(hashtextextended(app.tag_key(tag), uuid_hash_extended(tenant_id, 0)))
    from unnest(tags) as tag
    where tag is not null
);

-- The whole array meets the tags of a setting: for dbt's role only, because an operator of arrays
-- is not leakproof and so no way into an index under a tenant's policy.
create index orders_tags_idx on shopify.orders
using gin (app.tenant_tag_numbers(tenant_id, tags))
where tags <> '{}';

-- The channels a tenant has, and its orders of one.
create index orders_channel_idx on shopify.orders (tenant_id, channel)
where channel is not null;

-- Orders whose goods cost nothing from the start: few, and every sample by channel is one.
create index orders_free_idx on shopify.orders (tenant_id, channel)
where subtotal_minor <= 0;

-- The people samples are sent to, and what leads from an order to them.

create table app.creators (
    tenant_id uuid not null,
    creator_id uuid not null default gen_random_uuid(),
    handle text,
    platform text not null default 'other',
    name text,
    email text,
    profile_url text,
    notes text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint creators_pkey primary key (tenant_id, creator_id),
    constraint creators_handle_key unique (tenant_id, platform, handle),
    constraint creators_email_key unique (tenant_id, email),
    constraint creators_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint creators_platform_check check (
        platform in ('tiktok', 'instagram', 'youtube', 'other')
    ),
    constraint creators_handle_check check (handle ~ '^[^@\s/]+$' and handle = lower(handle)),
    constraint creators_email_check check (email ~ '^[^@\s]+@[^@\s]+$' and email = lower(email)),
    constraint creators_profile_url_check check (profile_url ~ '^https?://'),
    constraint creators_known_by_check check (coalesce(handle, email, name) is not null)
);

comment on table app.creators is 'People whom samples are sent to.';
comment on column app.creators.handle is 'Their name on the platform, in lower case, without @.';

-- What a creator was known by before another was merged into it: it still leads there.
create table app.creator_aliases (
    tenant_id uuid not null,
    kind text not null,
    alias text not null,
    creator_id uuid not null,
    constraint creator_aliases_pkey primary key (tenant_id, kind, alias),
    constraint creator_aliases_creator_fkey foreign key (tenant_id, creator_id)
    references app.creators (tenant_id, creator_id) on delete cascade,
    constraint creator_aliases_kind_check check (kind in ('handle', 'email'))
);

create index creator_aliases_creator_idx on app.creator_aliases (tenant_id, creator_id);

comment on table app.creator_aliases is 'Handles and addresses of creators that were merged away.';

-- What a person decided. Where there is no row, dbt links by address and handle; a row without a
-- creator says that there is none, so that what was unlinked is not linked again.
create table app.sample_creator_links (
    tenant_id uuid not null,
    order_id text not null,
    creator_id uuid,
    linked_by text not null,
    linked_at timestamptz not null default now(),
    constraint sample_creator_links_pkey primary key (tenant_id, order_id),
    constraint sample_creator_links_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint sample_creator_links_creator_fkey foreign key (tenant_id, creator_id)
    references app.creators (tenant_id, creator_id) on delete cascade
);

create index sample_creator_links_creator_idx on app.sample_creator_links (tenant_id, creator_id);

comment on table app.sample_creator_links is 'Creators of samples as people decided.';

-- Every change of what makes an order a sample, with the values it replaced.
create table app.samples_config_changes (
    tenant_id uuid not null,
    change_id uuid not null default gen_random_uuid(),
    changed_at timestamptz not null default clock_timestamp(),
    changed_by text not null,
    former_ugc_tags text[] not null,
    former_tiktok_tags text[] not null,
    former_channel_patterns text[] not null,
    former_zero_price_only boolean not null,
    constraint samples_config_changes_pkey primary key (tenant_id, change_id),
    constraint samples_config_changes_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

create index samples_config_changes_recent_idx
on app.samples_config_changes (tenant_id, changed_at desc);

comment on table app.samples_config_changes is 'Who changed the sample settings when, from what.';

-- The tags without those that mean the same as an earlier one, trimmed.
create function app.distinct_tags(tags text[]) returns text[]
language sql immutable strict parallel safe
return (
    select coalesce(array_agg(btrim(first.tag, e' \t\r\n') order by first.position), '{}')
    from (
        select distinct on (app.tag_key(given.tag))
            given.tag,
            given.position
        from unnest(tags) with ordinality as given (tag, position)
        order by app.tag_key(given.tag) asc, given.position asc
    ) as first
);

call app.protect('app.creators');
call app.protect('app.creator_aliases');
call app.protect('app.sample_creator_links');
call app.protect('app.samples_config_changes');

grant select on app.creators, app.creator_aliases, app.sample_creator_links to quintile_transform;
grant select, insert, update, delete on app.creators, app.creator_aliases,
app.sample_creator_links to quintile_app;
grant select, insert on app.samples_config_changes to quintile_app;
