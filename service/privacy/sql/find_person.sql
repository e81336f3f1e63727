-- name: find_person
-- The person of a request: the customer's addresses that no other customer has, the phone numbers
-- of orders without an address, their orders, and their other ids. An order without a customer, or
-- with one that the store has no record of (as in imported files), is theirs if it has one of the
-- addresses or numbers.
with addresses as (
    select lower(app.clean_address(g.email)) as email
    from unnest(%(emails)s::text[]) as g (email)
    union
    select lower(app.clean_address(c.email))
    from shopify.customers as c
    where c.tenant_id = %(tenant_id)s and c.customer_id = %(customer_id)s
    union
    select lower(app.clean_address(m.email))
    from shopify.segment_members as m
    where m.tenant_id = %(tenant_id)s and m.customer_id = %(customer_id)s
    union
    select k.email
    from app.klaviyo_ledger as k
    where k.tenant_id = %(tenant_id)s and k.customer_id = %(customer_id)s
    union
    select lower(app.clean_address(o.customer_email))
    from shopify.orders as o
    where o.tenant_id = %(tenant_id)s and o.customer_id = %(customer_id)s
),

emails as (
    select a.email
    from addresses as a
    where
        a.email <> ''
        and not exists (
            select from shopify.customers as c
            where
                c.tenant_id = %(tenant_id)s
                and c.customer_id <> %(customer_id)s
                and c.deleted_at is null
                and lower(app.clean_address(c.email)) = a.email
        )
),

phones as (
    select unnest(%(phones)s::text[]) as phone
    union
    select o.customer_phone
    from shopify.orders as o
    where
        o.tenant_id = %(tenant_id)s
        and o.customer_id = %(customer_id)s
        and o.customer_phone is not null
),

orders as (
    select
        o.order_id,
        o.customer_id
    from shopify.orders as o
    where
        o.tenant_id = %(tenant_id)s
        and (
            o.customer_id = %(customer_id)s
            or o.order_id = any(%(order_ids)s)
            or (
                (
                    lower(app.clean_address(o.customer_email)) in (
                        select e.email
                        from emails as e
                    )
                    or ltrim(o.customer_phone, '+') in (
                        select ltrim(p.phone, '+')
                        from phones as p
                    )
                )
                and not exists (
                    select from shopify.customers as c
                    where
                        c.tenant_id = %(tenant_id)s
                        and c.customer_id = o.customer_id
                        and c.customer_id <> %(customer_id)s
                )
            )
        )
)

select
    array(
        select %(customer_id)s::text
        union
        -- The id of an imported file's orders without customer ids.
        select app.customer_id_of_address(e.email)
        from emails as e
        union
        select app.customer_id_of_phone(p.phone)
        from phones as p
        union
        select o.customer_id
        from orders as o
        where
            o.customer_id is not null
            and not exists (
                select from shopify.customers as c
                where c.tenant_id = %(tenant_id)s and c.customer_id = o.customer_id
            )
            and o.order_id <> all(%(order_ids)s)
    ) as customer_ids,
    array(
        select o.order_id from orders as o
        union
        select unnest(%(order_ids)s::text[])
    ) as order_ids,
    array(select e.email from emails as e order by e.email) as emails,
    array(select p.phone from phones as p order by p.phone) as phones,
    -- Creators who are this person: by address, or because all samples linked to them by hand went
    -- to this person.
    array(
        select c.creator_id::text
        from app.creators as c
        where
            c.tenant_id = %(tenant_id)s
            and (
                c.email in (select e.email from emails as e)
                or exists (
                    select from app.creator_aliases as a
                    where
                        a.tenant_id = %(tenant_id)s
                        and a.creator_id = c.creator_id
                        and a.kind = 'email'
                        and a.alias in (select e.email from emails as e)
                )
                or (
                    select
                        bool_and(
                            l.order_id = any(%(order_ids)s)
                            or l.order_id in (select o.order_id from orders as o)
                        )
                    from app.sample_creator_links as l
                    where l.tenant_id = %(tenant_id)s and l.creator_id = c.creator_id
                )
            )
    ) as creator_ids;
