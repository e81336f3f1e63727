-- How many profiles the list has, and how many of them all of its configurations together would
-- take off now: those that are on it because of us and are meant to be by none of them.
with configs as (
    select
        c.config_id,
        c.config_id = any(%(standing_still)s) as stands_still
    from app.klaviyo_sync_configs as c
    where
        c.tenant_id = %(tenant_id)s
        and c.list_id = %(list_id)s
        and c.direction <> 'pull'
),

profiles as (
    select p.email
    from app.klaviyo_list_profiles as p
    where p.tenant_id = %(tenant_id)s and p.list_id = %(list_id)s
),

meant as (
    select m.email
    from pg_temp.klaviyo_members as m
    where m.reason is null
    union distinct
    select k.email
    from configs as c
    inner join app.klaviyo_ledger as k
        on k.tenant_id = %(tenant_id)s and c.config_id = k.config_id
    where
        c.stands_still
        and k.is_member
        and k.state in ('pending', 'synced', 'kept')
),

removals as (
    select distinct k.email
    from configs as c
    inner join app.klaviyo_ledger as k
        on k.tenant_id = %(tenant_id)s and c.config_id = k.config_id
    inner join profiles as p on k.email = p.email
    where
        not c.stands_still
        and k.state in ('pending', 'synced')
        and not exists (select from meant as m where m.email = k.email)
)

select
    (select count(*) from profiles) as profiles,
    (select count(*) from removals) as removals
