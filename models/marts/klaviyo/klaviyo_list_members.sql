{{ config(enabled=var('use_service_schemas')) }}

-- Both sides of each sync configuration: addresses that a sync has processed, and profiles on its
-- list. A profile without an address is identified by its id. Several profiles of a list with the
-- same address, which exist for a while after a merge, are one member.
with

configs as (
    select * from {{ ref('stg_app__klaviyo_sync_configs') }}
),

ledger as (
    select * from {{ ref('stg_app__klaviyo_ledger') }}
),

profiles as (
    select
        tenant_id,
        list_id,
        coalesce(email, profile_id) as member,
        min(email) as email,
        min(profile_id) as profile_id,
        min(joined_at) as joined_at
    from {{ ref('stg_app__klaviyo_list_profiles') }}
    group by tenant_id, list_id, coalesce(email, profile_id)
),

on_lists as (
    select
        c.tenant_id,
        c.config_id,
        p.member,
        p.email,
        p.profile_id,
        p.joined_at
    from configs as c
    inner join profiles as p on c.tenant_id = p.tenant_id and c.list_id = p.list_id
),

members as (
    select
        coalesce(l.tenant_id, o.tenant_id) as tenant_id,
        coalesce(l.config_id, o.config_id) as config_id,
        coalesce(l.email, o.member) as member,
        coalesce(l.email, o.email) as email,
        l.customer_id,
        coalesce(o.profile_id, l.profile_id) as profile_id,
        l.state as sync_state,
        l.error_code,
        l.error_detail,
        coalesce(l.is_member, false) as is_in_segment,
        o.member is not null
        -- Klaviyo has accepted the address, and the list has not been read since.
        or coalesce(l.state = 'synced' and l.profile_id is null, false) as is_on_list,
        o.joined_at,
        l.changed_at
    from ledger as l
    full outer join on_lists as o
        on l.tenant_id = o.tenant_id and l.config_id = o.config_id and l.email = o.member
),

final as (
    select
        -- ids
        m.tenant_id,
        m.config_id,
        m.member,
        c.list_id,
        m.customer_id,
        m.profile_id,

        -- text
        m.email,
        c.segment_key,
        c.list_name,
        m.sync_state,
        m.error_code,
        m.error_detail,

        -- booleans
        m.is_in_segment,
        m.is_on_list,

        -- timestamps
        m.joined_at,
        m.changed_at
    from members as m
    inner join configs as c on m.tenant_id = c.tenant_id and m.config_id = c.config_id
)

select * from final
