-- Promo codes for segments: what a person asked for, what Shopify has accepted, and its history.

create table app.promo_codes (
    tenant_id uuid not null,
    promo_code_id uuid not null default gen_random_uuid(),
    code text not null,
    title text not null,
    percentage numeric,
    amount_minor bigint,
    currency text,
    starts_at timestamptz not null,
    ends_at timestamptz,
    usage_limit integer,
    is_once_per_customer boolean not null default false,
    segments text[] not null,
    excluded_segments text[] not null default '{}',
    wanted text not null default 'active',
    requests integer not null default 1,
    requests_done integer not null default 0,
    revision integer not null default 1,
    applied_revision integer not null default 0,
    discount_id text,
    sent_title text,
    is_ended boolean not null default false,
    members integer,
    unreachable integer,
    held_back integer not null default 0,
    planned_at timestamptz,
    applied_at timestamptz,
    problem text,
    problem_message text,
    problem_advice text,
    problem_since timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint promo_codes_pkey primary key (tenant_id, promo_code_id),
    constraint promo_codes_tenant_fkey foreign key (tenant_id)
    references app.tenants (tenant_id) on delete cascade,
    constraint promo_codes_value_check check (
        num_nonnulls(percentage, amount_minor) = 1
        and (percentage is null or (percentage > 0 and percentage <= 1))
        and (amount_minor is null or (amount_minor > 0 and currency is not null))
    ),
    constraint promo_codes_times_check check (ends_at > starts_at),
    constraint promo_codes_usage_check check (usage_limit > 0),
    -- Without segments a code would be for everybody.
    constraint promo_codes_segments_check check (cardinality(segments) > 0),
    constraint promo_codes_wanted_check check (wanted in ('active', 'deactivated', 'deleted'))
);

create unique index promo_codes_code_key on app.promo_codes (tenant_id, lower(code));

comment on table app.promo_codes is 'Promo codes for segments, and how far Shopify has them.';
comment on column app.promo_codes.percentage is
'Share that the code takes off, above 0 and at most 1.';
comment on column app.promo_codes.amount_minor is
'Amount that the code takes off an order, in minor units of currency.';
comment on column app.promo_codes.segments is
'Ids of the segments whose members may use the code, such as rfm:champions.';
comment on column app.promo_codes.excluded_segments is
'Ids of the segments whose members may not use it.';
comment on column app.promo_codes.wanted is
'What Shopify should have: active, deactivated or deleted.';
comment on column app.promo_codes.requests is
'How often an update was asked for; it is due while requests_done is less.';
comment on column app.promo_codes.revision is
'Goes up when a value of the code changes; Shopify has those of applied_revision.';
comment on column app.promo_codes.discount_id is
'Global id of the discount in Shopify; null until Shopify has it.';
comment on column app.promo_codes.sent_title is
'Title with which the discount''s creation was sent; null if it never was.';
comment on column app.promo_codes.is_ended is
'Whether Quintile ended the discount in Shopify: deactivated, or nobody may use it.';
comment on column app.promo_codes.members is 'Customers who may use the code, by the last plan.';
comment on column app.promo_codes.unreachable is
'Members who are no customers in Shopify, by the last plan.';
comment on column app.promo_codes.held_back is
'Members whom the last plan did not add because of the problem.';
comment on column app.promo_codes.applied_at is 'When Shopify last had all that was planned.';
comment on column app.promo_codes.problem is 'Kind of what keeps the code from being up to date.';

-- A target is written here before it is sent, so that none that Shopify may have is forgotten.
create table app.promo_code_targets (
    tenant_id uuid not null,
    promo_code_id uuid not null,
    kind text not null,
    target_id text not null,
    state text not null default 'adding',
    added_at timestamptz not null default now(),
    accepted_at timestamptz,
    constraint promo_code_targets_pkey primary key (tenant_id, promo_code_id, kind, target_id),
    constraint promo_code_targets_code_fkey foreign key (tenant_id, promo_code_id)
    references app.promo_codes (tenant_id, promo_code_id) on delete cascade,
    constraint promo_code_targets_kind_check check (kind in ('segment', 'customer')),
    constraint promo_code_targets_state_check check (
        state in ('adding', 'accepted', 'removing', 'refused')
    )
);

create index promo_code_targets_target_idx
on app.promo_code_targets (tenant_id, target_id);

comment on table app.promo_code_targets is
'Segments and customers that may use a promo code in Shopify.';
comment on column app.promo_code_targets.target_id is 'Number in Shopify''s global id.';
comment on column app.promo_code_targets.state is
'adding: Shopify is to have it, and may have it already; accepted: it has it; removing: Shopify'
' is not to have it, and may have it still; refused: Shopify does not know it.';

create table app.promo_code_changes (
    tenant_id uuid not null,
    promo_code_id uuid not null,
    run_id uuid not null,
    action text not null,
    added integer not null default 0,
    removed integer not null default 0,
    refused integer not null default 0,
    targets integer not null default 0,
    changed_at timestamptz not null default now(),
    constraint promo_code_changes_pkey primary key (tenant_id, promo_code_id, run_id, action),
    constraint promo_code_changes_code_fkey foreign key (tenant_id, promo_code_id)
    references app.promo_codes (tenant_id, promo_code_id) on delete cascade
);

create index promo_code_changes_recent_idx
on app.promo_code_changes (tenant_id, promo_code_id, changed_at desc);

comment on table app.promo_code_changes is 'What runs changed of promo codes in Shopify.';
comment on column app.promo_code_changes.action is
'created, targets, values, ended, resumed or gone (found deleted in Shopify).';
comment on column app.promo_code_changes.targets is 'Targets that Shopify had afterwards.';

-- A check of a promo code finds a customer by address.
create index if not exists customers_email_idx on shopify.customers (tenant_id, email);

call app.protect('app.promo_codes');
call app.protect('app.promo_code_targets');
call app.protect('app.promo_code_changes');

grant select, insert, update, delete
on app.promo_codes, app.promo_code_targets, app.promo_code_changes to quintile_app;
grant select (tenant_id)
on app.promo_codes, app.promo_code_targets, app.promo_code_changes to quintile_transform;
