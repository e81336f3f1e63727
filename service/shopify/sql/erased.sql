-- name: redact_erased
-- Redacts the orders and deletes the customers of erased people that this transaction has written.
-- It reads only rows that this transaction wrote, and none while the tenant has never erased a
-- person.
with tenant_key as (
    select k.erasure_key
    from app.erasure_keys as k
    where
        k.tenant_id = %(tenant_id)s
        and exists (select from app.erased_subjects as e where e.tenant_id = %(tenant_id)s)
),

loaded_orders as (
    select
        o.order_id,
        (
            select count(*) > 0
            from app.erased_subjects as e
            where
                e.tenant_id = %(tenant_id)s
                and e.digest in (
                    app.erasure_digest(k.erasure_key, 'order', o.order_id),
                    app.erasure_digest(k.erasure_key, 'customer', o.customer_id)
                )
        ) as is_erased,
        array(
            select f.customer_id
            from unnest(o.former_customer_ids) as f (customer_id)
            where
                f.customer_id is not null
                and not exists (
                    select from app.erased_subjects as e
                    where
                        e.tenant_id = %(tenant_id)s
                        and e.digest = app.erasure_digest(k.erasure_key, 'customer', f.customer_id)
                )
        ) as former_customer_ids
    from tenant_key as k
    inner join shopify.orders as o
        on o.tenant_id = %(tenant_id)s and o.landed_xid = pg_current_xact_id()
),

orders as (
    update shopify.orders as o
    set
        order_number = case when not l.is_erased then o.order_number end,
        customer_id = case when not l.is_erased then o.customer_id end,
        customer_email = case when not l.is_erased then o.customer_email end,
        customer_phone = case when not l.is_erased then o.customer_phone end,
        customer_name = case when not l.is_erased then o.customer_name end,
        note = case when not l.is_erased then o.note end,
        tags = case when l.is_erased then '{}' else o.tags end,
        line_items = case when l.is_erased then '[]' else o.line_items end,
        former_customer_ids = l.former_customer_ids
    from loaded_orders as l
    where
        o.tenant_id = %(tenant_id)s
        and o.order_id = l.order_id
        and (l.is_erased or l.former_customer_ids <> o.former_customer_ids)
)

delete from shopify.customers as c
using tenant_key as k
where
    c.tenant_id = %(tenant_id)s
    and c.landed_xid = pg_current_xact_id()
    and exists (
        select from app.erased_subjects as e
        where
            e.tenant_id = %(tenant_id)s
            and e.digest = app.erasure_digest(k.erasure_key, 'customer', c.customer_id)
    );

-- name: delete_erased_members
-- Deletes erased people from segments whose members this transaction has written, and from the
-- changes and confirmations that it has recorded.
with tenant_key as (
    select k.erasure_key
    from app.erasure_keys as k
    where
        k.tenant_id = %(tenant_id)s
        and exists (select from app.erased_subjects as e where e.tenant_id = %(tenant_id)s)
),

changes as (
    delete from shopify.segment_changes as c
    using tenant_key as k
    where
        c.tenant_id = %(tenant_id)s
        and c.landed_xid = pg_current_xact_id()
        and exists (
            select from app.erased_subjects as e
            where
                e.tenant_id = %(tenant_id)s
                and e.digest = app.erasure_digest(k.erasure_key, 'customer', c.customer_id)
        )
),

confirmations as (
    delete from shopify.segment_confirmations as c
    using tenant_key as k
    where
        c.tenant_id = %(tenant_id)s
        and c.segment_id = any(%(segment_ids)s)
        and c.confirmed_at = now()
        and exists (
            select from app.erased_subjects as e
            where
                e.tenant_id = %(tenant_id)s
                and e.digest = app.erasure_digest(k.erasure_key, 'customer', c.customer_id)
        )
)

delete from shopify.segment_members as m
using tenant_key as k
where
    m.tenant_id = %(tenant_id)s
    and m.segment_id = any(%(segment_ids)s)
    and m.landed_at = now()
    and exists (
        select from app.erased_subjects as e
        where
            e.tenant_id = %(tenant_id)s
            and e.digest = app.erasure_digest(k.erasure_key, 'customer', m.customer_id)
    );

-- name: delete_erased_rejections
-- Deletes what this transaction has quarantined of erased people, because a rejection holds the
-- whole record.
with tenant_key as (
    select k.erasure_key
    from app.erasure_keys as k
    where
        k.tenant_id = %(tenant_id)s
        and exists (select from app.erased_subjects as e where e.tenant_id = %(tenant_id)s)
)

delete from shopify.rejected_rows as r
using tenant_key as k
where
    r.tenant_id = %(tenant_id)s
    and r.rejected_at = now()
    and exists (
        select from app.erased_subjects as e
        where
            e.tenant_id = %(tenant_id)s
            and e.digest in (
                app.erasure_digest(k.erasure_key, r.entity, r.source_id),
                app.erasure_digest(
                    k.erasure_key, 'customer', nullif(split_part(r.source_id, '/', 2), '')
                ),
                app.erasure_digest(
                    k.erasure_key,
                    'customer',
                    regexp_replace(r.payload #>> '{customer,id}', '^.*/', '')
                ),
                app.erasure_digest(k.erasure_key, 'customer', r.payload ->> 'customer_id')
            )
    );
