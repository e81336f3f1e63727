-- name: find_metafields
-- Whether a tenant has RFM in customer metafields, and the bulk mutation under way; no row if it
-- was never turned on.
select
    is_enabled,
    changed_at,
    changed_by,
    definitions,
    upload_id,
    upload_batches,
    operation_id
from app.shopify_metafields
where tenant_id = %(tenant_id)s;

-- name: find_metafields_to_sync
-- A row if the tenant's store is connected and accepts the access token, and metafields are turned
-- on or have still to be removed.
select s.is_enabled
from app.shopify_metafields as s
inner join app.connections as c on s.tenant_id = c.tenant_id
where
    s.tenant_id = %(tenant_id)s
    and c.provider = 'shopify'
    and c.state = 'active'
    and (s.is_enabled or s.definitions <> '{}');

-- name: find_granted_scopes
-- The scopes of the tenant's access token, as last read, and whether the store refuses it; no row
-- if the store is not connected.
select
    scopes,
    state = 'refused' as is_refused
from app.connections
where tenant_id = %(tenant_id)s and provider = 'shopify' and state <> 'disconnected';

-- name: switch_metafields
-- Turns metafields on or off; no row if nothing changes.
insert into app.shopify_metafields as s (tenant_id, is_enabled, changed_by)
select
    %(tenant_id)s,
    %(is_enabled)s,
    %(changed_by)s
where
    %(is_enabled)s
    or exists (select from app.shopify_metafields where tenant_id = %(tenant_id)s)
on conflict (tenant_id) do update set
    is_enabled = excluded.is_enabled,
    changed_at = excluded.changed_at,
    changed_by = excluded.changed_by
where s.tenant_id = %(tenant_id)s and s.is_enabled <> excluded.is_enabled
returning s.is_enabled;

-- name: count_metafields
-- Customers with metafields in the store, with changes that have still to be made, and with a
-- refused one.
select
    (
        select count(*)
        from app.shopify_customer_metafields
        where tenant_id = %(tenant_id)s and written_at is not null
    ) as written,
    (
        select count(*)
        from app.shopify_metafield_changes
        where tenant_id = %(tenant_id)s
    ) as pending,
    (
        select count(*)
        from app.shopify_customer_metafields
        where tenant_id = %(tenant_id)s and refused_at is not null
    ) as refused;

-- name: find_metafields_run
-- The newest run that wrote or removed metafields, or is about to.
select
    run_id,
    kind,
    trigger,
    state,
    phase,
    done,
    total,
    counts,
    attempts,
    error,
    advice,
    created_at,
    started_at,
    finished_at,
    next_attempt_at
from app.runs
where tenant_id = %(tenant_id)s and kind = 'metafields_sync'
order by created_at desc, run_id desc
limit 1;

-- name: list_metafield_refusals
-- Why Shopify refused changes, with how many customers and the ids of some.
select
    refused_reason as reason,
    count(*) as customers,
    max(refused_at) as last_at,
    (array_agg(customer_id order by refused_at desc, customer_id asc))[:5] as customer_ids
from app.shopify_customer_metafields
where tenant_id = %(tenant_id)s and refused_at is not null
group by refused_reason
order by customers desc, reason asc
limit 20;

-- name: record_metafield_definition
-- Adds or changes a definition's id, by its key; not if metafields were turned off meanwhile, and
-- what is in the store was left to it.
update app.shopify_metafields
set definitions = definitions || %(definition)s
where tenant_id = %(tenant_id)s and (is_enabled or definitions <> '{}');

-- name: forget_metafield_definitions
-- Records that the store has no definition of ours any more, and so no value either.
with ledger as (
    delete from app.shopify_customer_metafields
    where tenant_id = %(tenant_id)s
)

update app.shopify_metafields
set definitions = '{}'
where tenant_id = %(tenant_id)s;

-- name: forget_metafields
-- Forgets what the store has of metafields whose definition was deleted there by hand, so that they
-- are written again.
update app.shopify_customer_metafields
set
    segment = case when 'segment' <> all(%(columns)s) then segment end,
    r_score = case when 'r_score' <> all(%(columns)s) then r_score end,
    f_score = case when 'f_score' <> all(%(columns)s) then f_score end,
    m_score = case when 'm_score' <> all(%(columns)s) then m_score end
where tenant_id = %(tenant_id)s;

-- name: forget_all_metafields
-- Deletes the ledger and the changes of a tenant that leaves its metafields in the store.
with changes as (
    delete from app.shopify_metafield_changes
    where tenant_id = %(tenant_id)s
),

ledger as (
    delete from app.shopify_customer_metafields
    where tenant_id = %(tenant_id)s
)

update app.shopify_metafields
set definitions = '{}', upload_id = null, operation_id = null
where tenant_id = %(tenant_id)s;

-- name: forget_refusals
-- Lets refused changes be tried again.
update app.shopify_customer_metafields
set refused_at = null, refused_reason = null
where tenant_id = %(tenant_id)s and refused_at is not null;

-- name: delete_metafield_changes
-- Deletes the changes that an earlier comparison found, before a new one.
delete from app.shopify_metafield_changes
where tenant_id = %(tenant_id)s;

-- name: forget_deleted_customers
-- Forgets refused customers that Shopify has deleted, and with them their metafields.
delete from app.shopify_customer_metafields as l
using shopify.customers as d
where
    l.tenant_id = %(tenant_id)s
    and l.refused_at is not null
    and d.tenant_id = %(tenant_id)s
    and d.customer_id = l.customer_id
    and d.deleted_at is not null;

-- name: fill_metafield_changes
-- Compares the customers' segments and scores with what the store has of them, as far as it is
-- known. Ids that are not numbers are of customers that Shopify does not have, and an erased person
-- gets none. A refused value is not tried again for a day. Metafields are numbered through, and a
-- batch has those of 22 numbers, but a customer is never split: so it has at most 25, as many as
-- one call sets. A batch of removals has 62 customers. They lose all four metafields, 248 in a
-- batch, whatever the ledger knows of them: input arrays of Shopify have up to 250 items.
insert into app.shopify_metafield_changes (
    tenant_id, customer_id, is_removal, batch, segment, r_score, f_score, m_score
)
with tenant_key as (
    select k.erasure_key
    from app.erasure_keys as k
    where
        k.tenant_id = %(tenant_id)s
        and exists (select from app.erased_subjects as e where e.tenant_id = %(tenant_id)s)
),

wanted as (
    select
        c.customer_id,
        c.segment,
        c.r_score,
        c.f_score,
        c.m_score
    from marts.customer_rfm_segments as c
    where
        c.tenant_id = %(tenant_id)s
        and c.customer_id ~ '^[0-9]+$'
        and exists (
            select from app.shopify_metafields as s
            where s.tenant_id = %(tenant_id)s and s.is_enabled
        )
        and not exists (
            select from shopify.customers as d
            where
                d.tenant_id = %(tenant_id)s
                and d.customer_id = c.customer_id
                and d.deleted_at is not null
        )
        and not exists (
            select from tenant_key as k
            inner join app.erased_subjects as e
                on
                    e.tenant_id = %(tenant_id)s
                    and e.digest = app.erasure_digest(k.erasure_key, 'customer', c.customer_id)
        )
),

ledger as (
    select
        customer_id,
        segment,
        r_score,
        f_score,
        m_score,
        written_at,
        refused_at
    from app.shopify_customer_metafields
    where tenant_id = %(tenant_id)s
),

changes as (
    select
        coalesce(w.customer_id, l.customer_id) as customer_id,
        w.customer_id is null as is_removal,
        nullif(w.segment, l.segment) as segment,
        nullif(w.r_score, l.r_score) as r_score,
        nullif(w.f_score, l.f_score) as f_score,
        nullif(w.m_score, l.m_score) as m_score
    from wanted as w
    full join ledger as l on w.customer_id = l.customer_id
    where
        w.customer_id is null
        or (
            (w.segment, w.r_score, w.f_score, w.m_score)
            is distinct from (l.segment, l.r_score, l.f_score, l.m_score)
            and (l.refused_at is null or l.refused_at < now() - interval '1 day')
        )
)

select
    %(tenant_id)s,
    customer_id,
    is_removal,
    case
        when is_removal
            then (row_number() over (partition by is_removal order by customer_id) - 1) / 62
        else (
            sum(num_nonnulls(segment, r_score, f_score, m_score))
                over (partition by is_removal order by customer_id) - 1
        ) / 22
    end as batch,
    segment,
    r_score,
    f_score,
    m_score
from changes;

-- name: count_metafield_changes
-- How many customers are to get metafields or lose them, and in how many batches.
select
    count(*) filter (where not is_removal) as customers,
    count(distinct batch) filter (where not is_removal) as batches,
    count(*) filter (where is_removal) as removals
from app.shopify_metafield_changes
where tenant_id = %(tenant_id)s;

-- name: find_next_batch
-- The first batch from a number on. None is set any more once metafields are turned off.
select batch
from app.shopify_metafield_changes
where
    tenant_id = %(tenant_id)s
    and is_removal = %(is_removal)s
    and batch >= %(first_batch)s
    and (
        is_removal
        or exists (
            select from app.shopify_metafields as s
            where s.tenant_id = %(tenant_id)s and s.is_enabled
        )
    )
order by batch
limit 1;

-- name: list_batch
-- The customers of one batch.
select
    customer_id,
    segment,
    r_score,
    f_score,
    m_score
from app.shopify_metafield_changes
where tenant_id = %(tenant_id)s and is_removal = %(is_removal)s and batch = %(batch)s
order by customer_id;

-- name: list_upload
-- The customers of the first batches, in their order.
select
    batch,
    customer_id,
    segment,
    r_score,
    f_score,
    m_score
from app.shopify_metafield_changes
where tenant_id = %(tenant_id)s and not is_removal and batch < %(batches)s
order by batch, customer_id;

-- name: note_sending
-- Records that what the store has of these batches' changes is unknown, because they are about to
-- be sent. So none is forgotten if the answer is lost.
with sent as (
    select
        customer_id,
        is_removal,
        segment,
        r_score,
        f_score,
        m_score
    from app.shopify_metafield_changes
    where
        tenant_id = %(tenant_id)s
        and is_removal = %(is_removal)s
        and batch between %(first_batch)s and %(last_batch)s
),

known as (
    update app.shopify_customer_metafields as l
    set
        segment = case when not s.is_removal and s.segment is null then l.segment end,
        r_score = case when not s.is_removal and s.r_score is null then l.r_score end,
        f_score = case when not s.is_removal and s.f_score is null then l.f_score end,
        m_score = case when not s.is_removal and s.m_score is null then l.m_score end
    from sent as s
    where l.tenant_id = %(tenant_id)s and l.customer_id = s.customer_id
    returning l.customer_id
)

insert into app.shopify_customer_metafields (tenant_id, customer_id)
select
    %(tenant_id)s,
    s.customer_id
from sent as s
where
    not s.is_removal
    and not exists (select from known as k where k.customer_id = s.customer_id);

-- name: begin_upload
-- Records that a bulk mutation of the first batches is about to be started.
update app.shopify_metafields
set
    upload_id = %(upload_id)s,
    upload_batches = %(batches)s,
    operation_id = null
where tenant_id = %(tenant_id)s;

-- name: record_upload_operation
-- Records the id that Shopify has given the bulk mutation.
update app.shopify_metafields
set operation_id = %(operation_id)s
where tenant_id = %(tenant_id)s and upload_id = %(upload_id)s;

-- name: end_upload
-- Records that no bulk mutation is under way.
update app.shopify_metafields
set upload_id = null, operation_id = null
where tenant_id = %(tenant_id)s;

-- name: accept_changes
-- Moves changes that Shopify has accepted to the ledger: the customers given of the batches given.
-- An erased person does not come back. Returns how many customers were set, and how many removed.
with tenant_key as (
    select k.erasure_key
    from app.erasure_keys as k
    where
        k.tenant_id = %(tenant_id)s
        and exists (select from app.erased_subjects as e where e.tenant_id = %(tenant_id)s)
),

accepted as (
    delete from app.shopify_metafield_changes as c
    where
        c.tenant_id = %(tenant_id)s
        and c.is_removal = %(is_removal)s
        and c.batch = any(%(batches)s)
        and (%(customer_ids)s::text[] is null or c.customer_id = any(%(customer_ids)s))
    returning c.customer_id, c.segment, c.r_score, c.f_score, c.m_score
),

removed as (
    delete from app.shopify_customer_metafields as l
    using accepted as a
    where %(is_removal)s and l.tenant_id = %(tenant_id)s and l.customer_id = a.customer_id
    returning 1
),

written as (
    insert into app.shopify_customer_metafields as l (
        tenant_id, customer_id, segment, r_score, f_score, m_score, written_at
    )
    select
        %(tenant_id)s,
        a.customer_id,
        a.segment,
        a.r_score,
        a.f_score,
        a.m_score,
        now()
    from accepted as a
    where
        not %(is_removal)s
        and not exists (
            select from tenant_key as k
            inner join app.erased_subjects as e
                on
                    e.tenant_id = %(tenant_id)s
                    and e.digest = app.erasure_digest(k.erasure_key, 'customer', a.customer_id)
        )
    on conflict (tenant_id, customer_id) do update set
        segment = coalesce(excluded.segment, l.segment),
        r_score = coalesce(excluded.r_score, l.r_score),
        f_score = coalesce(excluded.f_score, l.f_score),
        m_score = coalesce(excluded.m_score, l.m_score),
        written_at = excluded.written_at,
        refused_at = null,
        refused_reason = null
    where l.tenant_id = %(tenant_id)s
    returning 1
)

select
    (select count(*) from written) as written,
    (select count(*) from removed) as removed;

-- name: refuse_changes
-- Records in the ledger that Shopify refuses the changes of these customers, each with its reason.
-- An erased person does not come back.
with tenant_key as (
    select k.erasure_key
    from app.erasure_keys as k
    where
        k.tenant_id = %(tenant_id)s
        and exists (select from app.erased_subjects as e where e.tenant_id = %(tenant_id)s)
),

refused as (
    delete from app.shopify_metafield_changes as c
    using jsonb_to_recordset(%(refusals)s) as r (customer_id text, reason text)
    where c.tenant_id = %(tenant_id)s and c.customer_id = r.customer_id
    returning c.customer_id, r.reason
)

insert into app.shopify_customer_metafields as l (
    tenant_id, customer_id, refused_at, refused_reason
)
select
    %(tenant_id)s,
    r.customer_id,
    now(),
    r.reason
from refused as r
where
    not exists (
        select from tenant_key as k
        inner join app.erased_subjects as e
            on
                e.tenant_id = %(tenant_id)s
                and e.digest = app.erasure_digest(k.erasure_key, 'customer', r.customer_id)
    )
on conflict (tenant_id, customer_id) do update set
    refused_at = excluded.refused_at,
    refused_reason = excluded.refused_reason
where l.tenant_id = %(tenant_id)s;
