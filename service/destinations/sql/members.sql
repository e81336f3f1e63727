-- name: create_segment
-- The members of the segments that feed one list, as stored.
create temporary table sync_segment (
    config_id uuid not null,
    customer_id text,
    email text
) on commit drop;

-- name: create_members
-- The same members with normalized addresses, and the reason if one gets no e-mail.
create temporary table sync_members (
    config_id uuid not null,
    customer_id text,
    email text,
    reason text
) on commit drop;

-- name: fill_members_rfm
-- Members of an RFM segment, as of the last build.
insert into pg_temp.sync_segment (config_id, customer_id, email)
select
    %(config_id)s,
    customer_id,
    email
from marts.customer_rfm_segments
where tenant_id = %(tenant_id)s and segment = %(segment)s;

-- name: fill_members_shopify
-- Members of one of Shopify's own segments, as of the last sync.
insert into pg_temp.sync_segment (config_id, customer_id, email)
select
    %(config_id)s,
    customer_id,
    email
from shopify.segment_members
where tenant_id = %(tenant_id)s and segment_id = %(segment)s;

-- name: fill_members_klaviyo
-- Members of a list that is pulled, each with its customer if there is one.
insert into pg_temp.sync_segment (config_id, customer_id, email)
select
    %(config_id)s,
    min(c.customer_id) as customer_id,
    p.email
from app.klaviyo_members as p
left join marts.customer_facts as c
    on c.tenant_id = %(tenant_id)s and lower(app.clean_address(c.email)) = p.email
where p.tenant_id = %(tenant_id)s and p.list_id = %(segment)s
group by p.profile_id, p.email;

-- name: list_other_configs
-- The other configurations that add people to a list.
select
    config_id,
    segment_key,
    is_paused
from app.klaviyo_sync_configs
where
    tenant_id = %(tenant_id)s
    and list_id = %(list_id)s
    and config_id <> %(config_id)s
    and direction <> 'pull'
order by config_id;

-- name: classify_members
-- Classifies each member: reason is null if they can get e-mail. Otherwise they have no address; an
-- invalid one (RFC 5321's lengths, one @, a domain of at least two labels); one of a marketplace's
-- relay, which no person reads; are excluded in the settings, such as a connector's default
-- customer; were erased on request; or have the address of another member. RFM leaves some of them
-- out too, but other segments contain them, and so does a mart until the next build. Relay domains
-- match as in int_relay_domains_combined (macros/rfm/email_domain.sql), by the current settings.
insert into pg_temp.sync_members (config_id, customer_id, email, reason)
with tenant_key as (
    select k.erasure_key
    from app.erasure_keys as k
    where
        k.tenant_id = %(tenant_id)s
        and exists (select from app.erased_subjects as e where e.tenant_id = %(tenant_id)s)
),

addresses as (
    select
        s.config_id,
        s.customer_id,
        lower(app.clean_address(s.email)) as email,
        lower(split_part(app.clean_address(s.email), '@', -1)) as domain
    from pg_temp.sync_segment as s
),

relay_domains as (
    select domain
    from marts.relay_domains
    union distinct
    select unnest(r.relay_domains) as domain
    from app.rfm_settings as r
    where r.tenant_id = %(tenant_id)s
),

-- Members share few domains. Each is compared with the rules once.
relays as (
    select a.domain
    from (select distinct domain from addresses) as a
    where
        '.' || a.domain like any(
            array(
                select '%%.' || replace(replace(d.domain, '_', '\_'), '*', '%%')
                from relay_domains as d
            )
        )
),

excluded as (
    select unnest(r.excluded_customer_ids) as customer_id
    from app.rfm_settings as r
    where r.tenant_id = %(tenant_id)s
),

classified as (
    select
        a.config_id,
        a.customer_id,
        a.email,
        case
            when a.email is null then 'no_address'
            when not (
                length(a.email) <= 254
                and a.email ~ '^[^\s@"(),:;<>\[\\\][:cntrl:]]{1,64}@[a-z0-9.-]+$'
                and a.domain ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$'
            ) then 'invalid'
            when r.domain is not null then 'relay'
            when a.customer_id in (select x.customer_id from excluded as x) then 'excluded'
            when (
                select count(*)
                from tenant_key as k
                inner join app.erased_subjects as e
                    on
                        e.tenant_id = %(tenant_id)s
                        and e.digest in (
                            app.erasure_digest(k.erasure_key, 'customer', a.customer_id),
                            app.erasure_digest(
                                k.erasure_key, 'customer', app.customer_id_of_address(a.email)
                            )
                        )
            ) > 0 then 'redacted'
        end as reason
    from addresses as a
    left join relays as r on a.domain = r.domain
),

ranked as (
    select
        j.*,
        row_number() over (
            partition by j.config_id, j.email, j.reason
            order by j.customer_id
        ) as place
    from classified as j
)

select
    r.config_id,
    r.customer_id,
    r.email,
    case when r.reason is null and r.place > 1 then 'duplicate' else r.reason end as reason
from ranked as r;

-- name: index_members
-- For the query planner; it also checks that no address is twice among those that get e-mail.
create unique index on pg_temp.sync_members (config_id, email) where reason is null;

-- name: count_members
-- How many members of the configuration's segment get e-mail.
select count(*) as members
from pg_temp.sync_members
where config_id = %(config_id)s and reason is null;

-- name: create_properties
-- The properties of each profile, by address.
create temporary table sync_properties (
    email text primary key,
    properties jsonb not null,
    properties_hash text not null
) on commit drop;

-- name: fill_properties
-- The properties of a profile: the person's segment, the one before, since when, the scores and the
-- number of samples received. A destination may not be able to clear a property (Klaviyo's imports
-- cannot), so a missing value is 'none', or 0 for a number. Of several customers with one address
-- the first with a segment counts; samples of all of them are added up.
insert into pg_temp.sync_properties (email, properties, properties_hash)
with addresses as (
    select m.email
    from pg_temp.sync_members as m
    where m.config_id = %(config_id)s and m.reason is null
    union distinct
    select b.email
    from app.klaviyo_ledger as b
    where b.tenant_id = %(tenant_id)s and b.config_id = %(config_id)s
    union distinct
    select p.email
    from app.klaviyo_profiles as p
    where %(config_id)s::uuid is null and p.tenant_id = %(tenant_id)s
),

customers as (
    select
        a.email,
        f.customer_id,
        row_number() over (
            partition by a.email
            order by case when f.segment is null then 1 else 0 end, f.customer_id
        ) as place
    from addresses as a
    inner join marts.customer_facts as f
        on f.tenant_id = %(tenant_id)s and lower(app.clean_address(f.email)) = a.email
),

-- Materialized, because the view could otherwise compute all previous segments again for
-- each address.
segments as materialized (
    select
        r.customer_id,
        r.segment,
        r.previous_segment,
        r.segment_changed_on,
        r.r_score,
        r.f_score,
        r.m_score
    from marts.customer_rfm_segments as r
    where r.tenant_id = %(tenant_id)s
),

samples as (
    select
        c.email,
        count(*) as received
    from customers as c
    inner join marts.sample_orders as s
        on s.tenant_id = %(tenant_id)s and c.customer_id = s.customer_id
    where s.status in ('partial', 'fulfilled')
    group by c.email
),

described as (
    select
        a.email,
        jsonb_build_object(
            'quintile_rfm_segment', coalesce(r.segment, 'none'),
            'quintile_rfm_previous_segment', coalesce(r.previous_segment, 'none'),
            'quintile_rfm_segment_changed_on', coalesce(r.segment_changed_on::text, 'none'),
            'quintile_r_score', coalesce(r.r_score, 0),
            'quintile_f_score', coalesce(r.f_score, 0),
            'quintile_m_score', coalesce(r.m_score, 0),
            'quintile_samples_received', coalesce(s.received, 0)
        ) as properties
    from addresses as a
    left join customers as c on a.email = c.email and c.place = 1
    left join segments as r on c.customer_id = r.customer_id
    left join samples as s on a.email = s.email
)

select
    d.email,
    d.properties,
    md5(d.properties::text) as properties_hash
from described as d;

-- name: list_stale_profiles
-- Profiles whose properties have changed since they were sent. Not those of a list whose last sync
-- stopped for approval: the change may be an error upstream. Nor those whose address was changed in
-- the destination: an import under the former one would create a second profile.
with stale as materialized (
    select
        f.email,
        f.properties,
        f.properties_hash
    from pg_temp.sync_properties as f
    inner join app.klaviyo_profiles as p on p.tenant_id = %(tenant_id)s and f.email = p.email
    where p.properties_hash <> f.properties_hash
),

configs as (
    select
        c.config_id,
        c.list_id,
        coalesce(r.state = 'stopped', false) as is_stopped
    from app.klaviyo_sync_configs as c
    left join lateral (
        select s.state
        from app.klaviyo_sync_runs as s
        where
            s.tenant_id = %(tenant_id)s
            and s.config_id = c.config_id
            and not s.is_dry_run
            and s.finished_at is not null
        order by s.requested_at desc
        limit 1
    ) as r on true
    where c.tenant_id = %(tenant_id)s and c.direction <> 'pull'
),

left_out as (
    select k.email
    from stale as s
    cross join configs as c
    inner join app.klaviyo_ledger as k
        on k.tenant_id = %(tenant_id)s and c.config_id = k.config_id and s.email = k.email
    left join app.klaviyo_list_profiles as p
        on
            p.tenant_id = %(tenant_id)s
            and c.list_id = p.list_id
            and k.profile_id = p.profile_id
    where c.is_stopped or (p.profile_id is not null and p.email is distinct from k.email)
)

select
    s.email,
    null as customer_id,
    null as profile_id,
    s.properties::text as properties,
    s.properties_hash
from stale as s
where not exists (select from left_out as l where l.email = s.email)
order by s.email;
