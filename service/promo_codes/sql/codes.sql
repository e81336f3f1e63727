-- name: create_code
-- Adds a promo code; no row if the tenant has one with this code, whatever its case.
insert into app.promo_codes (
    tenant_id,
    code,
    title,
    percentage,
    amount_minor,
    currency,
    starts_at,
    ends_at,
    usage_limit,
    is_once_per_customer,
    segments,
    excluded_segments
)
values (
    %(tenant_id)s,
    %(code)s,
    %(title)s,
    %(percentage)s,
    %(amount_minor)s,
    %(currency)s,
    %(starts_at)s,
    %(ends_at)s,
    %(usage_limit)s,
    %(is_once_per_customer)s,
    %(segments)s,
    %(excluded_segments)s
)
on conflict (tenant_id, lower(code)) do nothing
returning promo_code_id;

-- name: list_codes
-- Promo codes in the order of their codes: all, one, or a page with one extra row. The state is
-- what people see: what is wanted and what Shopify has, in one word.
with described as (
    select
        p.promo_code_id,
        p.code,
        p.title,
        p.percentage,
        p.amount_minor,
        p.currency,
        p.starts_at,
        p.ends_at,
        p.usage_limit,
        p.is_once_per_customer,
        p.segments,
        p.excluded_segments,
        p.wanted,
        p.requests,
        p.requests_done,
        p.revision,
        p.applied_revision,
        p.discount_id,
        p.sent_title,
        p.is_ended,
        p.members,
        p.unreachable,
        p.held_back,
        p.planned_at,
        p.applied_at,
        p.problem,
        p.problem_message,
        p.problem_advice,
        p.problem_since,
        p.created_at,
        p.updated_at,
        lower(p.code) as sort_code,
        case
            -- Its problem does not matter any more, once Shopify knows when it ends.
            when
                p.wanted = 'active'
                and p.ends_at <= now()
                and p.problem is not null
                and (p.applied_revision >= p.revision or p.discount_id is null)
                then 'expired'
            when p.problem is not null then 'needs_attention'
            when p.wanted = 'deleted' then 'deleting'
            when
                p.wanted = 'deactivated'
                and (p.is_ended or (p.discount_id is null and p.sent_title is null))
                then 'deactivated'
            when p.wanted = 'deactivated' or p.requests_done = 0 then 'pending'
            when (p.discount_id is null or p.is_ended) and p.requests_done < p.requests
                then 'pending'
            when p.ends_at <= now() then 'expired'
            when p.discount_id is null or p.is_ended then 'waiting'
            when p.applied_revision < p.revision then 'pending'
            when p.starts_at > now() then 'scheduled'
            else 'active'
        end as state
    from app.promo_codes as p
    where p.tenant_id = %(tenant_id)s
),

page as (
    select d.*
    from described as d
    where
        (%(code)s::text is null or d.sort_code = lower(%(code)s))
        and (%(state)s::text is null or d.state = %(state)s)
        and (%(segment)s::text is null or %(segment)s = any(d.segments))
        and (%(pattern)s::text is null or d.code ilike %(pattern)s or d.title ilike %(pattern)s)
        and (%(after_sort_code)s::text is null or d.sort_code > %(after_sort_code)s)
    order by d.sort_code
    limit %(row_limit)s
)

select
    p.*,
    t.accepted,
    t.adding,
    t.removing,
    t.refused
from page as p
cross join lateral (
    select
        count(*) filter (where g.state in ('accepted', 'removing')) as accepted,
        count(*) filter (where g.state = 'adding') as adding,
        count(*) filter (where g.state = 'removing') as removing,
        count(*) filter (where g.state = 'refused') as refused
    from app.promo_code_targets as g
    where g.tenant_id = %(tenant_id)s and g.promo_code_id = p.promo_code_id
) as t
order by p.sort_code;

-- name: lock_code
-- A promo code by its code, locked until the end of the transaction.
select
    p.promo_code_id,
    p.code,
    p.title,
    p.percentage,
    p.amount_minor,
    p.currency,
    p.starts_at,
    p.ends_at,
    p.usage_limit,
    p.is_once_per_customer,
    p.segments,
    p.excluded_segments,
    p.wanted,
    p.requests,
    p.requests_done,
    p.discount_id,
    p.sent_title,
    p.problem
from app.promo_codes as p
where p.tenant_id = %(tenant_id)s and lower(p.code) = lower(%(code)s)
for update;

-- name: change_code
-- Gives a promo code other values, and asks for an update.
update app.promo_codes
set
    title = %(title)s,
    percentage = %(percentage)s,
    amount_minor = %(amount_minor)s,
    currency = %(currency)s,
    starts_at = %(starts_at)s,
    ends_at = %(ends_at)s,
    usage_limit = %(usage_limit)s,
    is_once_per_customer = %(is_once_per_customer)s,
    segments = %(segments)s,
    excluded_segments = %(excluded_segments)s,
    revision = revision + 1,
    requests = requests + 1,
    updated_at = now()
where tenant_id = %(tenant_id)s and promo_code_id = %(promo_code_id)s;

-- name: want_code
-- Says what Shopify should have of a promo code, and asks for an update.
update app.promo_codes
set
    wanted = %(wanted)s,
    requests = requests + 1,
    problem = null,
    problem_message = null,
    problem_advice = null,
    problem_since = null,
    updated_at = now()
where tenant_id = %(tenant_id)s and promo_code_id = %(promo_code_id)s;

-- name: retry_code
-- Asks for an update after a problem. A discount that was found deleted in Shopify is made again;
-- one that somebody changed there gets its code, dates and targets again.
update app.promo_codes
set
    requests = requests + 1,
    problem = null,
    problem_message = null,
    problem_advice = null,
    problem_since = null,
    discount_id = case when problem = 'discount_deleted' then null else discount_id end,
    sent_title = case when problem = 'discount_deleted' then null else sent_title end,
    is_ended = is_ended and problem is distinct from 'discount_deleted',
    applied_revision = case
        when
            problem in (
                'discount_deleted', 'discount_ended', 'discount_renamed', 'targets_changed'
            )
            then 0
        else applied_revision
    end
where tenant_id = %(tenant_id)s and promo_code_id = %(promo_code_id)s;

-- name: forget_targets
-- Forgets the targets of a promo code: all of a discount that is gone, or those that Shopify did
-- not know, so that they are tried again. Customers lost the code when its discount was found
-- deleted.
with forgotten as (
    delete from app.promo_code_targets
    where
        tenant_id = %(tenant_id)s
        and promo_code_id = %(promo_code_id)s
        and (%(is_gone)s or state = 'refused')
    returning kind, target_id, state
)

insert into app.promo_code_target_changes (
    tenant_id, promo_code_id, changed_at, kind, target_id, change
)
select
    %(tenant_id)s,
    %(promo_code_id)s,
    coalesce(p.problem_since, now()),
    f.kind,
    f.target_id,
    'removed'
from forgotten as f
inner join app.promo_codes as p
    on p.tenant_id = %(tenant_id)s and p.promo_code_id = %(promo_code_id)s
where f.state in ('accepted', 'removing');

-- name: delete_code
-- Deletes a promo code with its targets and history.
delete from app.promo_codes
where tenant_id = %(tenant_id)s and promo_code_id = %(promo_code_id)s;

-- name: ask_for_updates
-- Asks for an update of every code whose targets may have changed: not of those that are
-- deactivated, have expired, or were found deleted in Shopify, which a person decides about. What
-- ends a code is asked for again until Shopify has it.
update app.promo_codes
set requests = requests + 1
where
    tenant_id = %(tenant_id)s
    and case
        when wanted <> 'active' then problem is not null or requests_done < requests
        when ends_at <= now()
            then discount_id is not null and not is_ended and applied_revision < revision
        else true
    end
    and (wanted <> 'active' or problem is distinct from 'discount_deleted')
returning promo_code_id;

-- name: list_due_codes
-- Promo codes that an update was asked for and not done yet, longest waiting first.
select promo_code_id
from app.promo_codes
where tenant_id = %(tenant_id)s and requests_done < requests
order by updated_at, promo_code_id;

-- name: find_due_code
-- One of them as it is now; no row if it is done or deleted by now.
select
    p.promo_code_id,
    p.code,
    p.title,
    p.percentage,
    p.amount_minor,
    p.currency,
    p.starts_at,
    p.ends_at,
    p.usage_limit,
    p.is_once_per_customer,
    p.segments,
    p.excluded_segments,
    p.wanted,
    p.requests,
    p.revision,
    p.applied_revision,
    p.discount_id,
    p.sent_title,
    p.is_ended
from app.promo_codes as p
where
    p.tenant_id = %(tenant_id)s
    and p.promo_code_id = %(promo_code_id)s
    and p.requests_done < p.requests;

-- name: list_changes
-- A page of what runs changed of a promo code, newest first, with one extra row.
select
    c.run_id,
    c.action,
    c.added,
    c.removed,
    c.refused,
    c.targets,
    c.changed_at
from app.promo_code_changes as c
where
    c.tenant_id = %(tenant_id)s
    and c.promo_code_id = %(promo_code_id)s
    and (
        %(after_changed_at)s::timestamptz is null
        or (c.changed_at, c.run_id, c.action)
        < (%(after_changed_at)s, %(after_run_id)s::uuid, %(after_action)s)
    )
order by c.changed_at desc, c.run_id desc, c.action desc
limit %(row_limit)s;

-- name: find_time_zone
-- The time zone of the store.
select t.time_zone
from app.tenants as t
where t.tenant_id = %(tenant_id)s;

-- name: find_access
-- The shop's currency, and the scopes of its access token; none if it is not connected.
select
    t.currency,
    c.scopes,
    coalesce(c.state <> 'disconnected', false) as is_connected
from app.tenants as t
left join app.connections as c on t.tenant_id = c.tenant_id and c.provider = 'shopify'
where t.tenant_id = %(tenant_id)s;
