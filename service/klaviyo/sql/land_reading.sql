-- Brings what is known of a list to what has been read of it. Only who is missing from a full
-- reading has left. People who have been erased stay so, whatever a list still says of them.
with tenant_key as (
    select k.erasure_key
    from app.erasure_keys as k
    where
        k.tenant_id = %(tenant_id)s
        and exists (select from app.erased_subjects as e where e.tenant_id = %(tenant_id)s)
),

-- Who leaves and joins again while the list is being read is met twice.
reading as (
    select distinct on (r.profile_id)
        r.profile_id,
        nullif(lower(btrim(r.email)), '') as email,
        r.joined_at,
        r.is_suppressed
    from pg_temp.klaviyo_reading as r
    where
        not exists (
            select from tenant_key as k
            inner join app.erased_subjects as e
                on
                    e.tenant_id = %(tenant_id)s
                    and e.digest = app.erasure_digest(
                        k.erasure_key, 'customer', app.customer_id_of_address(r.email)
                    )
        )
    order by r.profile_id asc, r.joined_at desc
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

gone as (
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
)

insert into pg_temp.klaviyo_landed (change, profile_id, email)
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
    g.profile_id,
    g.email
from gone as g
