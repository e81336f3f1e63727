with

{%- if var('use_service_schemas') %}

creators as (
    select * from {{ source('app', 'creators') }}
),

aliases as (
    select
        tenant_id,
        creator_id,
        kind,
        alias as known_as
    from {{ source('app', 'creator_aliases') }}
),
{%- else %}

creators as (
    select
        null::uuid as tenant_id,
        null::uuid as creator_id,
        null::text as handle,
        null::text as email
    where false
),

aliases as (
    select
        null::uuid as tenant_id,
        null::uuid as creator_id,
        null::text as kind,
        null::text as known_as
    where false
),
{%- endif %}

final as (
    select
        tenant_id,
        creator_id,
        'handle' as kind,
        handle as known_as
    from creators
    where handle is not null

    union distinct

    select
        tenant_id,
        creator_id,
        'email' as kind,
        email as known_as
    from creators
    where email is not null

    union distinct

    select
        tenant_id,
        creator_id,
        kind,
        known_as
    from aliases
)

select * from final
