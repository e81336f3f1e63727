with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

samples as (
    select * from {{ ref('int_samples_described') }}
),

identities as (
    select * from {{ ref('stg_app__creator_identities') }}
),

-- An identity that two creators share matches neither.
unique_identities as (
    select
        i.tenant_id,
        i.kind,
        i.known_as,
        min(i.creator_id::text)::uuid as creator_id
    from identities as i
    inner join tenants as t on i.tenant_id = t.tenant_id
    group by i.tenant_id, i.kind, i.known_as
    having count(distinct i.creator_id) = 1
),

-- A tag may be a handle, with or without @, also after a word and a colon, or contain a handle
-- after @. A note is free text, so only a word after @ or in a profile URL is a handle. The tags
-- that make the order a sample never identify a creator.
candidate_tags as (
    select
        s.tenant_id,
        s.order_id,
        {{ tag_key('tag') }} as tag_key
    from samples as s
    cross join lateral unnest(s.tags) as tag
    where not tag = any(s.matched_tags)
),

mentioned_handles as (
    select
        tenant_id,
        order_id,
        ltrim(tag_key, '@') as handle
    from candidate_tags

    union distinct

    select
        tenant_id,
        order_id,
        ltrim(btrim(substring(tag_key from '[:=]([^:=]*)$')), '@') as handle
    from candidate_tags

    union distinct

    select
        tenant_id,
        order_id,
        substring(tag_key from '@([[:alnum:]._-]+)') as handle
    from candidate_tags

    union distinct

    select
        s.tenant_id,
        s.order_id,
        mention[1] as handle
    from samples as s
    cross join lateral regexp_matches(
        {{ tag_key('s.note') }},
        '(?:@|instagram\.com/)([[:alnum:]._-]+)',
        'g'
    ) as mention
),

matches_by_handle as (
    select
        h.tenant_id,
        h.order_id,
        min(i.creator_id::text)::uuid as creator_id
    from mentioned_handles as h
    inner join unique_identities as i
        on
            h.tenant_id = i.tenant_id
            and i.kind = 'handle'
            and rtrim(h.handle, '.') = i.known_as
    group by h.tenant_id, h.order_id
    having count(distinct i.creator_id) = 1
),

matches_by_email as (
    select
        s.tenant_id,
        s.order_id,
        i.creator_id
    from samples as s
    inner join unique_identities as i
        on
            s.tenant_id = i.tenant_id
            and i.kind = 'email'
            and lower(btrim(s.customer_email)) = i.known_as
),

final as (
    select
        coalesce(e.tenant_id, h.tenant_id) as tenant_id,
        coalesce(e.order_id, h.order_id) as order_id,
        coalesce(e.creator_id, h.creator_id) as creator_id,
        case when e.creator_id is not null then 'email' else 'handle' end as matched_by
    from matches_by_email as e
    full outer join matches_by_handle as h on e.tenant_id = h.tenant_id and e.order_id = h.order_id
)

select * from final
