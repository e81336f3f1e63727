-- name: load_memberships
-- Add a customer to the segments that the store has them in, remove them from the others that were
-- asked about, and update the segments' member counts. Only rows that differ are written. A segment
-- that has not been loaded is left to the next sync. Entering and leaving are recorded, and that
-- the store was asked, so that a reading that began before does not undo it. While
-- Shopify withholds fields, members that are stored stay as they are.
with asked as (
    select
        r.segment_id,
        r.is_member
    from jsonb_to_recordset(%(memberships)s) as r (segment_id text, is_member boolean)
    inner join shopify.cached_segments as s on r.segment_id = s.segment_id
    where s.tenant_id = %(tenant_id)s and s.gone_at is null
),

confirmed as (
    insert into shopify.segment_confirmations as c (
        tenant_id, segment_id, customer_id, confirmed_at, is_member
    )
    select
        %(tenant_id)s,
        a.segment_id,
        %(customer_id)s,
        now(),
        a.is_member
    from asked as a
    on conflict (tenant_id, segment_id, customer_id) do update set
        confirmed_at = excluded.confirmed_at,
        is_member = excluded.is_member
    where c.tenant_id = %(tenant_id)s
),

joined as (
    insert into shopify.segment_members as m (
        tenant_id, segment_id, customer_id, email, display_name, marketing_state, entered_at
    )
    select
        %(tenant_id)s,
        a.segment_id,
        %(customer_id)s,
        app.clean_address(%(email)s),
        %(display_name)s,
        %(marketing_state)s,
        now()
    from asked as a
    where a.is_member
    on conflict (tenant_id, segment_id, customer_id) do update set
        email = excluded.email,
        display_name = excluded.display_name,
        marketing_state = excluded.marketing_state,
        landed_at = excluded.landed_at
    where
        m.tenant_id = %(tenant_id)s
        and not %(is_withheld)s
        and (m.email, m.display_name, m.marketing_state)
        is distinct from (excluded.email, excluded.display_name, excluded.marketing_state)
    returning m.segment_id
),

gone as (
    delete from shopify.segment_members as m
    using asked as a
    where
        m.tenant_id = %(tenant_id)s
        and m.segment_id = a.segment_id
        and m.customer_id = %(customer_id)s
        and not a.is_member
    returning m.segment_id
),

moves as (
    select
        j.segment_id,
        1 as step
    from joined as j
    -- This sees the table as it was before the statement.
    where
        not exists (
            select from shopify.segment_members as b
            where
                b.tenant_id = %(tenant_id)s
                and b.segment_id = j.segment_id
                and b.customer_id = %(customer_id)s
        )
    union all
    select
        g.segment_id,
        -1 as step
    from gone as g
),

counted as (
    update shopify.cached_segments as s
    set member_count = greatest(s.member_count + v.step, 0)
    from moves as v
    where s.tenant_id = %(tenant_id)s and s.segment_id = v.segment_id
    returning 1
),

recorded as (
    insert into shopify.segment_changes (
        tenant_id, segment_id, customer_id, changed_at, has_entered
    )
    select
        %(tenant_id)s,
        v.segment_id,
        %(customer_id)s,
        now(),
        v.step > 0
    from moves as v
    on conflict do nothing
)

select
    (select count(*) from joined) + (select count(*) from gone) as written,
    (select count(*) from counted) as recounted;
