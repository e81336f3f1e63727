-- The three-way comparison of base (ledger), local (segment) and remote (list), for a push:
--
--   add      in the segment and on neither the list nor the ledger, or sent and never confirmed
--   remove   on the list because of us, and no longer in the segment. Who was on the list without
--            us is in no ledger, so they stay
--   confirm  ours and found on the list: what was sent has arrived, or its id is news
--   forget   neither in the segment nor on the list, or rejected and gone from the segment
--   skip     in the segment and not to be added: rejected before, or put on the list by us and
--            taken off by a person since; the ledger remembers either while they are in the segment
--   wait     no longer in the segment, but an import we sent may still be putting it on the list
--
-- An address that is on the list without us, or ours and unchanged, needs nothing and has no row.
insert into pg_temp.klaviyo_plan (action, email, customer_id, profile_id)
with base as (
    select
        b.email,
        b.customer_id,
        b.profile_id,
        b.state,
        b.changed_at
    from app.klaviyo_ledger as b
    where b.tenant_id = %(tenant_id)s and b.config_id = %(config_id)s
),

remote as (
    select
        lower(btrim(r.email)) as email,
        min(r.profile_id) as profile_id
    from pg_temp.klaviyo_remote as r
    group by lower(btrim(r.email))
),

compared as (
    select
        coalesce(l.email, b.email) as email,
        coalesce(l.customer_id, b.customer_id) as customer_id,
        r.profile_id,
        l.email is not null as is_local,
        r.email is not null as is_remote,
        b.state as base_state,
        b.changed_at,
        (
            b.profile_id is distinct from r.profile_id
            or b.customer_id is distinct from l.customer_id
        ) as is_news
    from pg_temp.klaviyo_local as l
    full outer join base as b on l.email = b.email
    left join remote as r on coalesce(l.email, b.email) = r.email
),

decided as (
    select
        c.email,
        c.customer_id,
        c.profile_id,
        case
            when c.base_state = 'rejected' and c.is_local then 'skip'
            when c.base_state = 'rejected' then 'forget'
            when c.is_local and not c.is_remote and c.base_state = 'synced' then 'skip'
            when c.is_local and not c.is_remote then 'add'
            when c.is_local and c.base_state = 'pending' then 'confirm'
            when c.is_local and c.base_state = 'synced' and c.is_news then 'confirm'
            when c.is_local then null
            when c.is_remote then 'remove'
            when c.base_state = 'pending' and c.changed_at > now() - interval '1 day' then 'wait'
            else 'forget'
        end as action
    from compared as c
)

select
    d.action,
    d.email,
    d.customer_id,
    d.profile_id
from decided as d
where d.action is not null
