-- Which customers and segments runs added to a promo code, removed from it, or could not add.

create table app.promo_code_target_changes (
    tenant_id uuid not null,
    promo_code_id uuid not null,
    changed_at timestamptz not null,
    kind text not null,
    target_id text not null,
    change text not null,
    run_id uuid,
    constraint promo_code_target_changes_pkey primary key (
        tenant_id, promo_code_id, changed_at, kind, target_id, change
    ),
    constraint promo_code_target_changes_code_fkey foreign key (tenant_id, promo_code_id)
    references app.promo_codes (tenant_id, promo_code_id) on delete cascade,
    constraint promo_code_target_changes_kind_check check (kind in ('segment', 'customer')),
    constraint promo_code_target_changes_change_check check (
        change in ('added', 'removed', 'refused')
    )
);

-- For the changes of one customer, and to erase them.
create index promo_code_target_changes_target_idx
on app.promo_code_target_changes (tenant_id, target_id);

comment on table app.promo_code_target_changes is
'Customers and segments that Shopify has accepted for a promo code, removed from it, or refused.';
comment on column app.promo_code_target_changes.changed_at is
'When Shopify''s answer was recorded; for all targets of a discount that was found deleted in '
'Shopify, when it was found.';
comment on column app.promo_code_target_changes.target_id is 'Number in Shopify''s global id.';
comment on column app.promo_code_target_changes.change is
'added: Shopify has accepted it; removed: Shopify no longer has it; refused: Shopify does not know '
'it.';
comment on column app.promo_code_target_changes.run_id is
'The run that recorded it; null if a person had a discount made again that was deleted in Shopify, '
'and for what was accepted before these were recorded.';

call app.protect('app.promo_code_target_changes');

grant select, insert, update, delete on app.promo_code_target_changes to quintile_app;
grant select (tenant_id) on app.promo_code_target_changes to quintile_transform;

-- What Shopify has accepted so far. Who was removed before is not known.
insert into app.promo_code_target_changes (
    tenant_id, promo_code_id, changed_at, kind, target_id, change
)
select
    t.tenant_id,
    t.promo_code_id,
    t.accepted_at,
    t.kind,
    t.target_id,
    'added'
from app.promo_code_targets as t
where t.accepted_at is not null and t.state in ('accepted', 'removing');
