-- name: record_list
-- Records a list and how far it has been read. Its name was read with a full read. A date in the
-- future says nothing about how far that is, and a full read corrects what earlier reads took for
-- it.
insert into app.klaviyo_lists as l (tenant_id, list_id, name, joins_read_to, full_read_at)
select
    %(tenant_id)s,
    %(list_id)s,
    coalesce(%(list_name)s, %(list_id)s),
    (select max(r.joined_at) from pg_temp.sync_reading as r where r.joined_at <= %(read_at)s),
    case when %(is_full)s then %(read_at)s::timestamptz end
on conflict (tenant_id, list_id) do update set
    name = coalesce(%(list_name)s, l.name),
    joins_read_to = case
        when %(is_full)s then excluded.joins_read_to
        else greatest(l.joins_read_to, excluded.joins_read_to)
    end,
    full_read_at = coalesce(excluded.full_read_at, l.full_read_at),
    gone_at = null
where l.tenant_id = %(tenant_id)s;

-- name: record_list_deleted
-- The list was deleted in the destination.
update app.klaviyo_lists
set gone_at = coalesce(gone_at, now())
where tenant_id = %(tenant_id)s and list_id = %(list_id)s;

-- name: rename_list
-- Lists can be renamed in the destination.
update app.klaviyo_sync_configs
set list_name = %(list_name)s
where
    tenant_id = %(tenant_id)s
    and list_id = %(list_id)s
    and list_name <> %(list_name)s;

-- name: read_list_state
-- How far a list has been read, and the database's time, which dates the next read. Null if that
-- is in the future, as former releases recorded it: all of the list is read again. Whether it is
-- read for the first time.
select
    case when l.joins_read_to <= n.read_at then l.joins_read_to end as joins_read_to,
    l.full_read_at,
    n.read_at,
    l.list_id is null as is_first
from (select now() as read_at) as n
left join app.klaviyo_lists as l on l.tenant_id = %(tenant_id)s and l.list_id = %(list_id)s;

-- name: delete_unused_list
-- Deletes what was read of a list that no configuration uses any more, and the suppressed profiles
-- once no list is written to.
delete from app.klaviyo_lists as l
where
    l.tenant_id = %(tenant_id)s
    and l.list_id in (%(list_id)s, '-suppressed')
    and not exists (
        select from app.klaviyo_sync_configs as c
        where
            c.tenant_id = %(tenant_id)s
            and (c.list_id = l.list_id or (l.list_id = '-suppressed' and c.direction <> 'pull'))
    );

-- name: create_reading
-- What has been read of a list.
create temporary table sync_reading (
    profile_id text not null,
    email text,
    joined_at timestamptz,
    is_suppressed boolean not null
) on commit drop;

-- name: copy_reading
-- Fills in what the destination returned.
copy pg_temp.sync_reading (profile_id, email, joined_at, is_suppressed) from stdin;

-- name: create_changes
-- The profiles that joined and left a list since the last read.
create temporary table sync_changes (
    change text not null,
    profile_id text not null,
    email text
) on commit drop;

-- name: load_reading
-- Loads what was read of a list. Only profiles that are missing from a full read have left. Erased
-- people are not loaded again, even if they are still on the list. Who entered and left a pulled
-- list is recorded, except at its first reading: those profiles had entered before.
with tenant_key as (
    select k.erasure_key
    from app.erasure_keys as k
    where
        k.tenant_id = %(tenant_id)s
        and exists (select from app.erased_subjects as e where e.tenant_id = %(tenant_id)s)
),

-- A profile that leaves and joins again during the read is read twice.
reading as (
    select distinct on (r.profile_id)
        r.profile_id,
        lower(app.clean_address(r.email)) as email,
        r.joined_at,
        r.is_suppressed
    from pg_temp.sync_reading as r
    where
        not exists (
            select from tenant_key as k
            inner join app.erased_subjects as e
                on
                    e.tenant_id = %(tenant_id)s
                    and e.digest = app.erasure_digest(
                        k.erasure_key,
                        'customer',
                        app.customer_id_of_address(app.clean_address(r.email))
                    )
        )
    order by r.profile_id asc, r.joined_at desc nulls last
),

known as (
    select
        p.profile_id,
        p.email,
        p.joined_at,
        p.is_suppressed
    from app.klaviyo_list_profiles as p
    where p.tenant_id = %(tenant_id)s and p.list_id = %(list_id)s
),

departed as (
    delete from app.klaviyo_list_profiles as p
    where
        %(is_full)s
        and p.tenant_id = %(tenant_id)s
        and p.list_id = %(list_id)s
        and not exists (select from reading as r where r.profile_id = p.profile_id)
    returning p.profile_id, p.email
),

written as (
    insert into app.klaviyo_list_profiles as p (
        tenant_id, list_id, profile_id, email, joined_at, is_suppressed
    )
    select
        %(tenant_id)s,
        %(list_id)s,
        r.profile_id,
        r.email,
        r.joined_at,
        r.is_suppressed
    from reading as r
    left join known as k on r.profile_id = k.profile_id
    where
        k.profile_id is null
        or (k.email, k.joined_at, k.is_suppressed)
        is distinct from (r.email, r.joined_at, r.is_suppressed)
    on conflict (tenant_id, list_id, profile_id) do update set
        email = excluded.email,
        joined_at = excluded.joined_at,
        is_suppressed = excluded.is_suppressed
    where p.tenant_id = %(tenant_id)s
    returning p.profile_id, p.email
),

changes as (
    select
        'joined' as change,
        w.profile_id,
        w.email
    from written as w
    left join known as k on w.profile_id = k.profile_id
    where k.profile_id is null

    union all

    select
        'left' as change,
        d.profile_id,
        d.email
    from departed as d
),

recorded as (
    insert into app.klaviyo_list_changes (
        tenant_id, list_id, profile_id, email, changed_at, has_entered
    )
    select
        %(tenant_id)s,
        %(list_id)s,
        c.profile_id,
        c.email,
        %(read_at)s,
        c.change = 'joined'
    from changes as c
    where
        not %(is_first)s
        and exists (
            select from app.klaviyo_sync_configs as g
            where
                g.tenant_id = %(tenant_id)s
                and g.list_id = %(list_id)s
                and g.direction in ('pull', 'bidirectional')
        )
    on conflict do nothing
)

insert into pg_temp.sync_changes (change, profile_id, email)
select
    c.change,
    c.profile_id,
    c.email
from changes as c;

-- name: count_changes
-- How many profiles joined and left the list, with a few examples.
with ranked as (
    select
        l.change,
        l.email,
        row_number() over (
            partition by l.change
            order by l.email, l.profile_id
        ) as place
    from pg_temp.sync_changes as l
)

select
    r.change,
    count(*) as changes,
    coalesce(
        jsonb_agg(jsonb_build_object('email', r.email) order by r.place) filter (
            where r.place <= 10 and r.email is not null
        ),
        '[]'
    ) as examples
from ranked as r
group by r.change;

-- name: delete_lists
-- Another account has other lists; what was read of the former ones is deleted.
delete from app.klaviyo_lists
where tenant_id = %(tenant_id)s;

-- name: delete_profiles
-- The profiles of another account have not been sent any properties yet.
delete from app.klaviyo_profiles
where tenant_id = %(tenant_id)s;
