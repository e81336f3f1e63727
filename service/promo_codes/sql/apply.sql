-- name: hold_code
-- Locks a promo code before its records are changed; no row if it was deleted.
select promo_code_id
from app.promo_codes
where tenant_id = %(tenant_id)s and promo_code_id = %(promo_code_id)s
for no key update;

-- name: list_targets
-- The next targets in a state, as many as one call to Shopify takes.
select target_id
from app.promo_code_targets
where
    tenant_id = %(tenant_id)s
    and promo_code_id = %(promo_code_id)s
    and kind = %(kind)s
    and state = %(state)s
order by target_id
limit %(row_limit)s;

-- name: count_accepted
-- Targets that Shopify has and keeps.
select count(*) as accepted
from app.promo_code_targets
where
    tenant_id = %(tenant_id)s
    and promo_code_id = %(promo_code_id)s
    and kind = %(kind)s
    and state = 'accepted';

-- name: accept_targets
-- Shopify has accepted these targets. Those of the other kind it has dropped for them.
-- One statement changes the targets and records it, so a change is recorded once.
with accepted as (
    update app.promo_code_targets
    set state = 'accepted', accepted_at = now()
    where
        tenant_id = %(tenant_id)s
        and promo_code_id = %(promo_code_id)s
        and kind = %(kind)s
        and target_id = any(%(target_ids)s)
    returning kind, target_id
),

dropped as (
    delete from app.promo_code_targets
    where
        tenant_id = %(tenant_id)s
        and promo_code_id = %(promo_code_id)s
        and kind <> %(kind)s
        and exists (select from accepted)
    returning kind, target_id, state
)

insert into app.promo_code_target_changes (
    tenant_id, promo_code_id, changed_at, kind, target_id, change, run_id
)
select
    %(tenant_id)s,
    %(promo_code_id)s,
    now(),
    a.kind,
    a.target_id,
    'added',
    %(run_id)s
from accepted as a
union all
select
    %(tenant_id)s,
    %(promo_code_id)s,
    now(),
    d.kind,
    d.target_id,
    'removed',
    %(run_id)s
from dropped as d
-- Shopify never had the others.
where d.state in ('accepted', 'removing');

-- name: remove_targets
-- Shopify has removed these targets.
with removed as (
    delete from app.promo_code_targets
    where
        tenant_id = %(tenant_id)s
        and promo_code_id = %(promo_code_id)s
        and kind = %(kind)s
        and target_id = any(%(target_ids)s)
    returning kind, target_id
)

insert into app.promo_code_target_changes (
    tenant_id, promo_code_id, changed_at, kind, target_id, change, run_id
)
select
    %(tenant_id)s,
    %(promo_code_id)s,
    now(),
    r.kind,
    r.target_id,
    'removed',
    %(run_id)s
from removed as r;

-- name: compare_targets
-- Targets that Shopify has and that are not in the ledger, and accepted ones that it does not have.
-- An erased customer is in no ledger, and Shopify may have them until it erases them, too.
with tenant_key as (
    select k.erasure_key
    from app.erasure_keys as k
    where
        k.tenant_id = %(tenant_id)s
        and %(kind)s = 'customer'
        and exists (select from app.erased_subjects as e where e.tenant_id = %(tenant_id)s)
),

erased as (
    select f.target_id
    from tenant_key as k
    cross join unnest(%(found)s::text[]) as f (target_id)
    where
        exists (
            select from app.erased_subjects as e
            where
                e.tenant_id = %(tenant_id)s
                and e.digest = app.erasure_digest(k.erasure_key, 'customer', f.target_id)
        )
),

recorded as (
    select
        g.target_id,
        g.state
    from app.promo_code_targets as g
    where
        g.tenant_id = %(tenant_id)s
        and g.promo_code_id = %(promo_code_id)s
        and g.kind = %(kind)s
)

select
    coalesce(f.target_id, t.target_id) as target_id,
    f.target_id is not null as is_found
from unnest(%(found)s::text[]) as f (target_id)
full join recorded as t on f.target_id = t.target_id
where
    (t.target_id is null and f.target_id not in (select x.target_id from erased as x))
    or (f.target_id is null and t.state = 'accepted')
order by target_id;

-- name: restore_targets
-- Targets that somebody added in Shopify are to be removed, those removed there to be added.
with added as (
    insert into app.promo_code_targets (tenant_id, promo_code_id, kind, target_id, state)
    select
        %(tenant_id)s,
        %(promo_code_id)s,
        %(kind)s,
        a.target_id,
        'removing'
    from unnest(%(added)s::text[]) as a (target_id)
    on conflict do nothing
)

update app.promo_code_targets
set state = 'adding'
where
    tenant_id = %(tenant_id)s
    and promo_code_id = %(promo_code_id)s
    and kind = %(kind)s
    and target_id = any(%(removed)s)
    and state = 'accepted';

-- name: refuse_targets
-- Shopify does not know these targets.
with refused as (
    update app.promo_code_targets
    set state = 'refused'
    where
        tenant_id = %(tenant_id)s
        and promo_code_id = %(promo_code_id)s
        and kind = %(kind)s
        and target_id = any(%(target_ids)s)
    returning kind, target_id
)

insert into app.promo_code_target_changes (
    tenant_id, promo_code_id, changed_at, kind, target_id, change, run_id
)
select
    %(tenant_id)s,
    %(promo_code_id)s,
    now(),
    f.kind,
    f.target_id,
    'refused',
    %(run_id)s
from refused as f;

-- name: record_sent
-- The creation of the discount is about to be sent, with this title; null if it was refused.
update app.promo_codes
set sent_title = %(title)s
where tenant_id = %(tenant_id)s and promo_code_id = %(promo_code_id)s;

-- name: record_discount
-- Shopify has the discount, with the values of a revision.
update app.promo_codes
set
    discount_id = %(discount_id)s,
    applied_revision = %(revision)s
where tenant_id = %(tenant_id)s and promo_code_id = %(promo_code_id)s;

-- name: record_unknown
-- Whether the discount has ended, and which values it has, is not known until Shopify answers.
update app.promo_codes
set is_ended = false, applied_revision = 0
where tenant_id = %(tenant_id)s and promo_code_id = %(promo_code_id)s;

-- name: record_ended
-- Whether Quintile has ended the discount in Shopify.
update app.promo_codes
set is_ended = %(is_ended)s
where tenant_id = %(tenant_id)s and promo_code_id = %(promo_code_id)s;

-- name: record_change
-- Adds to what a run has changed of a promo code.
insert into app.promo_code_changes as c (
    tenant_id, promo_code_id, run_id, action, added, removed, refused, targets
)
select
    %(tenant_id)s,
    %(promo_code_id)s,
    %(run_id)s,
    %(action)s,
    %(added)s,
    %(removed)s,
    %(refused)s,
    count(*)
from app.promo_code_targets as t
where
    t.tenant_id = %(tenant_id)s
    and t.promo_code_id = %(promo_code_id)s
    and t.state in ('accepted', 'removing')
on conflict (tenant_id, promo_code_id, run_id, action) do update
    set
        added = c.added + excluded.added,
        removed = c.removed + excluded.removed,
        refused = c.refused + excluded.refused,
        targets = excluded.targets,
        changed_at = excluded.changed_at;

-- name: finish_code
-- Records the outcome of an update: done, or a problem. What was asked for since then stays due.
update app.promo_codes
set
    requests_done = %(requests)s,
    applied_at = case when %(problem)s::text is null then now() else applied_at end,
    problem = %(problem)s,
    problem_message = %(message)s,
    problem_advice = %(advice)s,
    problem_since = case
        when %(problem)s::text is null then null
        when problem = %(problem)s then problem_since
        else now()
    end
where tenant_id = %(tenant_id)s and promo_code_id = %(promo_code_id)s;

-- name: interrupt_code
-- Records why an update has not ended; it stays due.
update app.promo_codes
set
    problem = %(problem)s,
    problem_message = %(message)s,
    problem_advice = %(advice)s,
    problem_since = case when problem = %(problem)s then problem_since else now() end
where tenant_id = %(tenant_id)s and promo_code_id = %(promo_code_id)s;
