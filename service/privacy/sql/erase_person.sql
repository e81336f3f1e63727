-- name: erase_person
-- Erase a person from the loaded tables and the application's own, and store digests of their ids,
-- so that later loads recognise them. Their orders keep the amounts, without personal data.
with orders as (
    update shopify.orders as o
    set
        order_number = null,
        customer_id = null,
        customer_email = null,
        customer_phone = null,
        customer_name = null,
        note = null,
        tags = '{}',
        line_items = '[]',
        former_customer_ids = array(
            select f.customer_id
            from unnest(o.former_customer_ids) as f (customer_id)
            where f.customer_id <> all(%(customer_ids)s)
        ),
        landed_at = default,
        landed_xid = default
    where o.tenant_id = %(tenant_id)s and o.order_id = any(%(order_ids)s)
    returning 1
),

former_orders as (
    update shopify.orders as o
    set
        former_customer_ids = array(
            select f.customer_id
            from unnest(o.former_customer_ids) as f (customer_id)
            where f.customer_id <> all(%(customer_ids)s)
        ),
        landed_at = default,
        landed_xid = default
    where
        o.tenant_id = %(tenant_id)s
        and o.former_customer_ids && %(customer_ids)s
        and o.order_id <> all(%(order_ids)s)
    returning 1
),

customers as (
    delete from shopify.customers as c
    where c.tenant_id = %(tenant_id)s and c.customer_id = any(%(customer_ids)s)
    returning 1
),

members as (
    delete from shopify.segment_members as m
    where m.tenant_id = %(tenant_id)s and m.customer_id = any(%(customer_ids)s)
    returning 1
),

segment_changes as (
    delete from shopify.segment_changes as c
    where c.tenant_id = %(tenant_id)s and c.customer_id = any(%(customer_ids)s)
    returning 1
),

segment_confirmations as (
    delete from shopify.segment_confirmations as c
    where c.tenant_id = %(tenant_id)s and c.customer_id = any(%(customer_ids)s)
    returning 1
),

rejected as (
    delete from shopify.rejected_rows as r
    where
        r.tenant_id = %(tenant_id)s
        and (
            (r.entity = 'order' and r.source_id = any(%(order_ids)s))
            or (r.entity = 'customer' and r.source_id = any(%(customer_ids)s))
            or (
                r.entity = 'segment_member'
                and split_part(r.source_id, '/', 2) = any(%(customer_ids)s)
            )
            or app.mentions(
                r.payload,
                %(customer_ids)s::text[] || %(order_ids)s::text[],
                %(emails)s,
                %(phones)s
            )
        )
    returning 1
),

rereads as (
    delete from shopify.rereads as d
    where
        d.tenant_id = %(tenant_id)s
        and (
            (d.entity = 'customer' and d.source_id = any(%(customer_ids)s))
            or (d.entity = 'order' and d.source_id = any(%(order_ids)s))
        )
    returning 1
),

ledger as (
    delete from app.klaviyo_ledger as k
    where
        k.tenant_id = %(tenant_id)s
        and (k.customer_id = any(%(customer_ids)s) or k.email = any(%(emails)s))
    returning 1
),

metafields as (
    delete from app.shopify_customer_metafields as m
    where m.tenant_id = %(tenant_id)s and m.customer_id = any(%(customer_ids)s)
    returning 1
),

metafield_changes as (
    delete from app.shopify_metafield_changes as m
    where m.tenant_id = %(tenant_id)s and m.customer_id = any(%(customer_ids)s)
    returning 1
),

list_profiles as (
    delete from app.klaviyo_list_profiles as k
    where k.tenant_id = %(tenant_id)s and k.email = any(%(emails)s)
    returning 1
),

list_changes as (
    delete from app.klaviyo_list_changes as k
    where
        k.tenant_id = %(tenant_id)s
        and (
            k.email = any(%(emails)s)
            -- A profile's address may have changed since.
            or k.profile_id in (
                select p.profile_id from app.klaviyo_list_profiles as p
                where p.tenant_id = %(tenant_id)s and p.email = any(%(emails)s)
                union all
                select h.profile_id from app.klaviyo_list_changes as h
                where h.tenant_id = %(tenant_id)s and h.email = any(%(emails)s)
            )
        )
    returning 1
),

profiles as (
    delete from app.klaviyo_profiles as k
    where k.tenant_id = %(tenant_id)s and k.email = any(%(emails)s)
    returning 1
),

klaviyo_events as (
    delete from app.klaviyo_events as k
    where k.tenant_id = %(tenant_id)s and k.email = any(%(emails)s)
    returning 1
),

-- A plan that has the person among its examples keeps its counts.
klaviyo_runs as (
    update app.klaviyo_sync_runs as k
    set
        plan = (
            select
                jsonb_object_agg(
                    p.action,
                    case
                        when p.planned ? 'examples' then p.planned || '{"examples": []}'
                        else p.planned
                    end
                )
            from jsonb_each(k.plan) as p (action, planned)
        ),
        error = case when m.is_named then 'The error mentioned an erased person.'
            else k.error end,
        advice = case when not m.is_named then k.advice end
    from app.klaviyo_sync_runs as r
    cross join lateral (
        select count(*) > 0 as is_named
        from unnest(%(emails)s::text[]) as e (email)
        where position(e.email in lower(concat_ws(' ', r.error, r.advice))) > 0
    ) as m
    where
        k.tenant_id = %(tenant_id)s
        and r.tenant_id = %(tenant_id)s
        and k.run_id = r.run_id
        and k.config_id = r.config_id
        and (m.is_named or app.mentions(r.plan, %(customer_ids)s, %(emails)s))
    returning 1
),

promo_targets as (
    delete from app.promo_code_targets as t
    where
        t.tenant_id = %(tenant_id)s
        and t.kind = 'customer'
        and t.target_id = any(%(customer_ids)s)
    returning 1
),

promo_target_changes as (
    delete from app.promo_code_target_changes as t
    where
        t.tenant_id = %(tenant_id)s
        and t.kind = 'customer'
        and t.target_id = any(%(customer_ids)s)
    returning 1
),

creators as (
    delete from app.creators as c
    where c.tenant_id = %(tenant_id)s and c.creator_id = any(%(creator_ids)s::uuid[])
    returning 1
),

links as (
    delete from app.sample_creator_links as l
    where l.tenant_id = %(tenant_id)s and l.order_id = any(%(order_ids)s)
    returning 1
),

decisions as (
    delete from app.sample_decisions as d
    where d.tenant_id = %(tenant_id)s and d.order_id = any(%(order_ids)s)
    returning 1
),

settings as (
    update app.rfm_settings as s
    set
        excluded_customer_ids = array(
            select e.customer_id
            from unnest(s.excluded_customer_ids) as e (customer_id)
            where e.customer_id <> all(%(customer_ids)s)
        )
    where s.tenant_id = %(tenant_id)s and s.excluded_customer_ids && %(customer_ids)s
    returning 1
),

events as (
    update app.webhook_events as e
    set
        state = 'done',
        subject = null,
        notice = null,
        payload = null,
        reason = 'It was about an erased person.',
        advice = null,
        finished_at = coalesce(e.finished_at, now())
    where
        e.tenant_id = %(tenant_id)s
        and e.webhook_id <> %(webhook_id)s
        and e.state <> 'done'
        -- Their other queued requests will find nothing, and get a receipt.
        and not (e.state = 'queued' and e.kind in ('data_request', 'customer_redact'))
        and (
            (
                e.kind in (
                    'customer', 'customer_deleted', 'merge', 'membership', 'data_request',
                    'customer_redact'
                )
                and e.subject = any(%(customer_ids)s)
            )
            or (e.kind in ('order', 'order_deleted') and e.subject = any(%(order_ids)s))
            or app.mentions(e.notice, %(customer_ids)s, %(emails)s, %(phones)s)
            or app.mentions(e.payload, %(customer_ids)s, %(emails)s, %(phones)s)
        )
    returning 1
),

runs as (
    update app.runs as r
    set error = 'The error mentioned an erased person.', advice = null
    where
        r.tenant_id = %(tenant_id)s
        and exists (
            select from unnest(%(emails)s::text[]) as e (email)
            where position(e.email in lower(concat_ws(' ', r.error, r.advice))) > 0
        )
    returning 1
),

exports as (
    delete from app.privacy_exports as x
    where x.tenant_id = %(tenant_id)s and x.subject = %(subject)s
    returning 1
),

-- Sealed answers of the API may be about the person: all of them go. A request that has changed
-- something is still not carried out again. They are not counted, as most are about others.
answers as (
    update app.idempotent_requests as i
    set status = null, headers = null, key_id = null, sealed_secret = null
    where i.tenant_id = %(tenant_id)s and i.status is not null
    returning 1
),

subjects as (
    select
        'customer' as kind,
        unnest(%(customer_ids)s::text[]) as subject
    union all
    select
        'order' as kind,
        unnest(%(order_ids)s::text[]) as subject
),

remembered as (
    insert into app.erased_subjects (tenant_id, digest)
    select
        %(tenant_id)s,
        app.erasure_digest(k.erasure_key, s.kind, s.subject)
    from subjects as s
    inner join app.erasure_keys as k on k.tenant_id = %(tenant_id)s
    on conflict (tenant_id, digest) do nothing
    returning 1
)

select
    coalesce(
        jsonb_object_agg(c.relation, c.rows_erased) filter (where c.rows_erased > 0), '{}'
    ) as counts
from
    (
        values
        (
            'shopify.orders',
            (select count(*) from orders) + (select count(*) from former_orders)
        ),
        ('shopify.customers', (select count(*) from customers)),
        ('shopify.segment_members', (select count(*) from members)),
        ('shopify.segment_changes', (select count(*) from segment_changes)),
        ('shopify.segment_confirmations', (select count(*) from segment_confirmations)),
        ('shopify.rejected_rows', (select count(*) from rejected)),
        ('shopify.rereads', (select count(*) from rereads)),
        ('app.klaviyo_ledger', (select count(*) from ledger)),
        ('app.shopify_customer_metafields', (select count(*) from metafields)),
        ('app.shopify_metafield_changes', (select count(*) from metafield_changes)),
        ('app.klaviyo_list_profiles', (select count(*) from list_profiles)),
        ('app.klaviyo_list_changes', (select count(*) from list_changes)),
        ('app.klaviyo_profiles', (select count(*) from profiles)),
        ('app.klaviyo_events', (select count(*) from klaviyo_events)),
        ('app.klaviyo_sync_runs', (select count(*) from klaviyo_runs)),
        ('app.promo_code_targets', (select count(*) from promo_targets)),
        ('app.promo_code_target_changes', (select count(*) from promo_target_changes)),
        ('app.creators', (select count(*) from creators)),
        ('app.sample_creator_links', (select count(*) from links)),
        ('app.sample_decisions', (select count(*) from decisions)),
        ('app.rfm_settings', (select count(*) from settings)),
        ('app.webhook_events', (select count(*) from events)),
        ('app.runs', (select count(*) from runs)),
        ('app.privacy_exports', (select count(*) from exports))
    ) as c (relation, rows_erased);
