-- Webhooks and privacy: what a store tells us, what it asks us to forget, and the proof of it.

-- The look-up that precedes a tenant: a webhook names its shop and nothing else. It returns an id
-- only, to the service's role only; app.isolation_findings knows it by its text and reports any
-- other function of this kind.
create function app.tenant_of_shop(shop text) returns uuid
language sql stable security definer
set search_path = ''
as 'select tenant_id from app.tenants where shop_domain = shop';

revoke all on function app.tenant_of_shop(text) from public;
grant execute on function app.tenant_of_shop(text) to quintile_app;

-- One row per webhook received. A row outlives its processing so that a second delivery is known as
-- one; by then it holds the webhook's id, its topic and times, and nothing of what it was about.
create table app.webhook_events (
    tenant_id uuid not null,
    webhook_id text not null,
    topic text not null,
    kind text,
    subject text,
    notice jsonb,
    payload jsonb,
    store_updated_at timestamptz,
    triggered_at timestamptz,
    received_at timestamptz not null default now(),
    state text not null default 'queued',
    attempts integer not null default 0,
    due_at timestamptz not null default now(),
    reason text,
    advice text,
    finished_at timestamptz,
    constraint webhook_events_pkey primary key (tenant_id, webhook_id),
    constraint webhook_events_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint webhook_events_state_check check (state in ('queued', 'done', 'set_aside')),
    constraint webhook_events_finished_check check (
        (state = 'queued') = (finished_at is null)
    ),
    constraint webhook_events_done_check check (
        state <> 'done' or (coalesce(subject, '') = '' and notice is null and payload is null)
    )
);

create index webhook_events_due_idx on app.webhook_events (tenant_id, due_at)
where state = 'queued';

create index webhook_events_received_idx on app.webhook_events (tenant_id, received_at);

comment on table app.webhook_events is 'Webhooks received, each once; done ones hold no content.';
comment on column app.webhook_events.kind is 'What is to be done; null while it is not understood.';
comment on column app.webhook_events.subject is 'Id of what the webhook is about.';
comment on column app.webhook_events.notice is 'Further ids that processing needs.';
comment on column app.webhook_events.payload is 'The body, kept only when it was not understood.';
comment on column app.webhook_events.store_updated_at is 'updated_at as the webhook told it.';
comment on column app.webhook_events.due_at is 'Not to be tried before.';

-- When the store removed the app. No sync of any kind runs for the tenant from then on, until it
-- is connected again.
alter table app.connections add column uninstalled_at timestamptz;

comment on column app.connections.uninstalled_at is 'When the store removed the app, if it did.';

-- What was erased must stay so when a sync or an import brings it again, and must not be written
-- down for that. So it is known by a digest under the tenant's own random key, which goes with the
-- tenant.
create table app.erasure_keys (
    tenant_id uuid not null,
    erasure_key bytea not null
    default sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
    constraint erasure_keys_pkey primary key (tenant_id),
    constraint erasure_keys_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table app.erasure_keys is 'The key of each tenant''s digests of what was erased.';

create table app.erased_subjects (
    tenant_id uuid not null,
    digest bytea not null,
    erased_at timestamptz not null default now(),
    constraint erased_subjects_pkey primary key (tenant_id, digest),
    constraint erased_subjects_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table app.erased_subjects is
'Digests of customers and orders that were erased, so that they stay so.';

create function app.erasure_digest(erasure_key bytea, kind text, subject text) returns bytea
language sql stable strict parallel safe
return sha256(erasure_key || convert_to(kind || ':' || subject, 'UTF8'));

-- Whether any text or number inside a document is one of these, as it stands or as the end of a
-- Shopify id.
create function app.mentions(document jsonb, ids text[], emails text[]) returns boolean
language sql immutable parallel safe
return exists (
    select
    from jsonb_path_query(document, 'strict $.** ? (@.type() == "string" || @.type() == "number")')
        as found (leaf)
    where
        found.leaf #>> '{}' = any(ids)
        or (
            starts_with(found.leaf #>> '{}', 'gid://shopify/')
            and regexp_replace(found.leaf #>> '{}', '^.*/', '') = any(ids)
        )
        or lower(btrim(found.leaf #>> '{}')) = any(emails)
);

-- What is held of a person, for the store to hand on: sealed like a credential, and gone by itself.
create table app.privacy_exports (
    tenant_id uuid not null,
    export_id uuid not null default gen_random_uuid(),
    subject bytea not null,
    sealed_document bytea not null,
    key_id text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    constraint privacy_exports_pkey primary key (tenant_id, export_id),
    constraint privacy_exports_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade
);

comment on table app.privacy_exports is 'Answers to data requests, until they expire.';
comment on column app.privacy_exports.subject is
'Digest of the customer, so that erasing finds it.';

-- Receipts have no foreign key: that of a shop's erasure outlives the tenant. The tenant's id and
-- the digests mean nothing to anybody by then.
create table app.privacy_receipts (
    tenant_id uuid not null,
    receipt_id uuid not null default gen_random_uuid(),
    kind text not null,
    webhook_id text not null,
    subject bytea,
    counts jsonb not null default '{}',
    requested_at timestamptz not null,
    completed_at timestamptz not null default now(),
    constraint privacy_receipts_pkey primary key (tenant_id, receipt_id),
    constraint privacy_receipts_kind_check check (
        kind in ('data_request', 'customer_redact', 'shop_redact')
    )
);

create index privacy_receipts_completed_idx on app.privacy_receipts (tenant_id, completed_at);

comment on table app.privacy_receipts is
'That a request was met, when and how far; nothing about whom it was.';
comment on column app.privacy_receipts.counts is 'Rows exported, changed or deleted, by table.';

call app.protect('app.webhook_events');
call app.protect('app.erasure_keys');
call app.protect('app.erased_subjects');
call app.protect('app.privacy_exports');
call app.protect('app.privacy_receipts');

grant select, insert, update, delete on app.webhook_events to quintile_app;
grant select, insert on app.erasure_keys, app.erased_subjects to quintile_app;
grant select, insert, delete on app.privacy_exports to quintile_app;
grant select, insert on app.privacy_receipts to quintile_app;
grant select (uninstalled_at) on app.connections to quintile_transform;

-- Erasing a tenant takes what dbt built and the tenant itself in one transaction. The worker does
-- it as dbt's role; the web service cannot.
grant delete on app.tenants to quintile_transform;
grant select, insert on app.privacy_receipts to quintile_transform;

-- Every table that dbt built, with the columns by which a person is found in it. By the catalog
-- rather than by name, so that models of one's own in these schemas are not forgotten.
create function app.tables_with_people()
returns table (
    relation regclass,
    by_customer boolean,
    by_order boolean,
    by_creator boolean,
    email_columns name[]
)
language sql stable
begin atomic
    select
        c.oid::regclass as relation,
        bool_or(a.attname = 'customer_id') as by_customer,
        bool_or(a.attname = 'order_id') as by_order,
        -- What is about an order or a customer goes with them, not with their creator.
        bool_or(a.attname = 'creator_id')
        and not bool_or(a.attname in ('customer_id', 'order_id')) as by_creator,
        coalesce(
            array_agg(a.attname) filter (where a.attname like '%email%'), '{}'
        ) as email_columns
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
    where
        c.relkind in ('r', 'p')
        and n.nspname in ('staging', 'intermediate', 'marts')
        and exists (
            select from pg_attribute as t
            where t.attrelid = c.oid and t.attname = 'tenant_id' and not t.attisdropped
        )
    group by c.oid
    having
        bool_or(
            a.attname in ('customer_id', 'order_id', 'creator_id') or a.attname like '%email%'
        );
end;

-- The condition by which a person's rows of such a table are found; $1 tenant, $2 customers,
-- $3 orders, $4 addresses in lower case, $5 creators.
create function app.condition_of_person(
    by_customer boolean, by_order boolean, by_creator boolean, email_columns name[]
) returns text
language sql immutable
return 'tenant_id = $1 and (' || concat_ws(
    ' or ',
    case when by_customer then 'customer_id = any($2)' end,
    case when by_order then 'order_id = any($3)' end,
    case when by_creator then 'creator_id = any($5)' end,
    (
        select string_agg(format('lower(btrim(%I::text)) = any($4)', e.email_column), ' or ')
        from unnest(email_columns) as e (email_column)
    )
) || ')';

-- What dbt built of a person, as one document: rows by table.
create function app.rows_built_of_person(
    tenant uuid, customer_ids text[], order_ids text[], emails text[], creator_ids uuid[]
) returns jsonb
language plpgsql stable
as $$
declare
    found jsonb := '{}';
    rows_of_table jsonb;
    t record;
begin
    for t in select * from app.tables_with_people() order by relation::text loop
        execute format(
            'select jsonb_agg(to_jsonb(r) - ''tenant_id'') from %s as r where %s',
            t.relation,
            app.condition_of_person(t.by_customer, t.by_order, t.by_creator, t.email_columns)
        )
        into rows_of_table
        using tenant, customer_ids, order_ids, emails, creator_ids;
        if rows_of_table is not null then
            found := found || jsonb_build_object(t.relation::text, rows_of_table);
        end if;
    end loop;
    return found;
end
$$;

-- Deletes what dbt built of a person and returns how many rows went, by table.
create function app.erase_built_rows_of_person(
    tenant uuid, customer_ids text[], order_ids text[], emails text[], creator_ids uuid[]
) returns jsonb
language plpgsql
as $$
declare
    erased jsonb := '{}';
    rows_of_table bigint;
    t record;
begin
    for t in select * from app.tables_with_people() order by relation::text loop
        execute format(
            'delete from %s where %s',
            t.relation,
            app.condition_of_person(t.by_customer, t.by_order, t.by_creator, t.email_columns)
        )
        using tenant, customer_ids, order_ids, emails, creator_ids;
        get diagnostics rows_of_table = row_count;
        if rows_of_table > 0 then
            erased := erased || jsonb_build_object(t.relation::text, rows_of_table);
        end if;
    end loop;
    return erased;
end
$$;

-- Deletes everything that dbt built for a tenant and returns how many rows went, by table.
create function app.erase_built_rows_of_tenant(tenant uuid) returns jsonb
language plpgsql
as $$
declare
    erased jsonb := '{}';
    rows_of_table bigint;
    relation regclass;
begin
    for relation in
        select c.oid
        from pg_class as c
        inner join pg_namespace as n on c.relnamespace = n.oid
        inner join pg_attribute as a on c.oid = a.attrelid and a.attname = 'tenant_id'
        where
            c.relkind in ('r', 'p')
            and n.nspname in ('staging', 'intermediate', 'marts')
            and not a.attisdropped
        order by c.oid::regclass::text
    loop
        execute format('delete from %s where tenant_id = $1', relation) using tenant;
        get diagnostics rows_of_table = row_count;
        if rows_of_table > 0 then
            erased := erased || jsonb_build_object(relation::text, rows_of_table);
        end if;
    end loop;
    return erased;
end
$$;
