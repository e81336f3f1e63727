-- name: create_incoming_members
-- The members that have been read of a segment.
create temporary table incoming_members (
    customer_id text not null,
    email text,
    display_name text,
    marketing_state text
) on commit drop;

-- name: copy_incoming_members
-- Adds members that have been read.
copy pg_temp.incoming_members (customer_id, email, display_name, marketing_state) from stdin;

-- name: analyze_incoming_members
-- Gives the planner statistics, without which it compares a million members one by one.
analyze pg_temp.incoming_members;

-- name: keep_stored_members
-- Gives incoming members the stored values of columns that were not read.
update pg_temp.incoming_members as i
set
    email = coalesce(i.email, case when 'email' = any(%(kept)s) then m.email end),
    display_name = coalesce(
        i.display_name, case when 'display_name' = any(%(kept)s) then m.display_name end
    ),
    marketing_state = coalesce(
        i.marketing_state, case when 'marketing_state' = any(%(kept)s) then m.marketing_state end
    )
from shopify.segment_members as m
where
    m.tenant_id = %(tenant_id)s
    and m.segment_id = %(segment_id)s
    and i.customer_id = m.customer_id;

-- name: keep_unserved_members
-- Keeps the stored rows of members that Shopify lists and could not serve.
insert into pg_temp.incoming_members (customer_id, email, display_name, marketing_state)
select
    m.customer_id,
    m.email,
    m.display_name,
    m.marketing_state
from shopify.segment_members as m
where
    m.tenant_id = %(tenant_id)s
    and m.segment_id = %(segment_id)s
    and m.customer_id = any(%(customer_ids)s);

-- name: load_segment
-- Stores one segment as of the time its reading began, which is its synced_at. If a later reading
-- has been stored, or has found the segment gone, nothing is stored. Returns whether it was stored,
-- whether anything but synced_at changed, and whether the members of this segment are stored for
-- the first time, or again after it was gone.
with before as (
    select
        s.name,
        s.query,
        s.member_count,
        s.created_at,
        s.last_edited_at,
        s.gone_at
    from shopify.cached_segments as s
    where s.tenant_id = %(tenant_id)s and s.segment_id = %(segment_id)s
),

loaded as (
    insert into shopify.cached_segments as s (
        tenant_id,
        segment_id,
        name,
        query,
        member_count,
        created_at,
        last_edited_at,
        synced_at
    )
    values (
        %(tenant_id)s,
        %(segment_id)s,
        %(name)s,
        %(query)s,
        %(member_count)s,
        %(created_at)s,
        %(last_edited_at)s,
        %(read_at)s
    )
    on conflict (tenant_id, segment_id) do update set
        name = excluded.name,
        query = excluded.query,
        member_count = excluded.member_count,
        created_at = excluded.created_at,
        last_edited_at = excluded.last_edited_at,
        synced_at = excluded.synced_at,
        gone_at = null
    where
        s.tenant_id = %(tenant_id)s
        and s.synced_at <= excluded.synced_at
        and coalesce(s.gone_at <= excluded.synced_at, true)
    returning s.name, s.query, s.member_count, s.created_at, s.last_edited_at, s.gone_at
)

select
    count(*) as loaded,
    count(*) filter (where not exists (select from before as b where b is not distinct from l))
        as written,
    not exists (select from before as b where b.gone_at is null) as is_first
from loaded as l;

-- name: load_members
-- Makes a segment's stored members those that have been read, writing only what differs, and
-- records who entered and left, except at the first reading: those members had entered before. What
-- a webhook has confirmed since the reading began stays as it is, also in the member count.
with newer as (
    select
        c.customer_id,
        c.is_member
    from shopify.segment_confirmations as c
    where
        c.tenant_id = %(tenant_id)s
        and c.segment_id = %(segment_id)s
        and c.confirmed_at > %(read_at)s
),

-- No earlier reading can be stored any more.
used as (
    delete from shopify.segment_confirmations as c
    where
        c.tenant_id = %(tenant_id)s
        and c.segment_id = %(segment_id)s
        and c.confirmed_at <= %(read_at)s
),

counted as (
    update shopify.cached_segments as s
    set
        member_count = greatest(
            s.member_count + (
                select
                    count(*) filter (where n.is_member and i.customer_id is null)
                    - count(*) filter (where not n.is_member and i.customer_id is not null)
                from newer as n
                left join (select distinct m.customer_id from pg_temp.incoming_members as m) as i
                    on n.customer_id = i.customer_id
            ),
            0
        )
    where
        s.tenant_id = %(tenant_id)s
        and s.segment_id = %(segment_id)s
        and exists (select from newer)
),

incoming as (
    select distinct on (m.customer_id)
        m.customer_id,
        app.clean_address(m.email) as email,
        m.display_name,
        m.marketing_state
    from pg_temp.incoming_members as m
    where not exists (select from newer as n where n.customer_id = m.customer_id)
    order by m.customer_id
),

gone as (
    delete from shopify.segment_members as m
    where
        m.tenant_id = %(tenant_id)s
        and m.segment_id = %(segment_id)s
        and not exists (select from incoming as i where i.customer_id = m.customer_id)
        and not exists (select from newer as n where n.customer_id = m.customer_id)
    returning m.customer_id
),

written as (
    insert into shopify.segment_members as m (
        tenant_id,
        segment_id,
        customer_id,
        email,
        display_name,
        marketing_state,
        entered_at
    )
    select
        %(tenant_id)s,
        %(segment_id)s,
        i.customer_id,
        i.email,
        i.display_name,
        i.marketing_state,
        case when not %(is_first)s then %(read_at)s::timestamptz end
    from incoming as i
    on conflict (tenant_id, segment_id, customer_id) do update set
        email = excluded.email,
        display_name = excluded.display_name,
        marketing_state = excluded.marketing_state,
        landed_at = excluded.landed_at
    where
        m.tenant_id = %(tenant_id)s
        and (m.email, m.display_name, m.marketing_state)
        is distinct from (excluded.email, excluded.display_name, excluded.marketing_state)
    returning m.customer_id
),

changes as (
    select
        g.customer_id,
        false as has_entered
    from gone as g

    union all

    select
        w.customer_id,
        true as has_entered
    from written as w
    -- This sees the table as it was before the statement.
    where
        not exists (
            select from shopify.segment_members as b
            where
                b.tenant_id = %(tenant_id)s
                and b.segment_id = %(segment_id)s
                and b.customer_id = w.customer_id
        )
),

recorded as (
    insert into shopify.segment_changes (
        tenant_id, segment_id, customer_id, changed_at, has_entered
    )
    select
        %(tenant_id)s,
        %(segment_id)s,
        c.customer_id,
        %(read_at)s,
        c.has_entered
    from changes as c
    where not %(is_first)s
    on conflict do nothing
)

select (select count(*) from gone) + (select count(*) from written) as written;

-- name: retire_segments
-- Marks as gone, and empties, the segments that a listing did not have and that no later reading
-- has stored, except those that were listed and could not be read. Given a segment's id, only that
-- one. Returns how many rows it wrote and the ids of the segments.
with gone as (
    update shopify.cached_segments
    set gone_at = now(), member_count = 0
    where
        tenant_id = %(tenant_id)s
        and gone_at is null
        and synced_at < %(read_at)s
        and segment_id <> all(%(unread_ids)s)
        and (%(segment_id)s::text is null or segment_id = %(segment_id)s)
    returning segment_id
),

emptied as (
    delete from shopify.segment_members as m
    using gone as g
    where m.tenant_id = %(tenant_id)s and m.segment_id = g.segment_id
    returning 1
),

unconfirmed as (
    delete from shopify.segment_confirmations as c
    using gone as g
    where c.tenant_id = %(tenant_id)s and c.segment_id = g.segment_id
),

-- Rejections of segments that are gone.
cleared as (
    delete from shopify.rejected_rows as j
    where
        j.tenant_id = %(tenant_id)s
        and (
            (
                j.entity = 'segment'
                and j.source_id <> all(%(unread_ids)s)
                and (%(segment_id)s::text is null or j.source_id = %(segment_id)s)
            )
            or (
                j.entity = 'segment_member'
                and exists (
                    select from gone as g
                    where starts_with(j.source_id, g.segment_id || '/')
                )
            )
        )
)

select
    (select count(*) from gone) + (select count(*) from emptied) as written,
    array(select g.segment_id from gone as g) as segment_ids;

-- name: record_segments_synced
-- Records when the last reading of all segments began.
insert into shopify.sync_watermarks as w (tenant_id, resource, synced_at)
values (%(tenant_id)s, 'segments', %(read_at)s)
on conflict (tenant_id, resource) do update set
    synced_at = greatest(w.synced_at, excluded.synced_at)
where w.tenant_id = %(tenant_id)s;

-- name: clear_segment_rejections
-- Clears the rejections of a segment and of its members, except those of this reading.
delete from shopify.rejected_rows
where
    tenant_id = %(tenant_id)s
    and (
        (entity = 'segment' and source_id = %(segment_id)s)
        or (
            entity = 'segment_member'
            and starts_with(source_id, %(segment_id)s || '/')
            and source_id <> all(%(source_ids)s)
        )
    );
