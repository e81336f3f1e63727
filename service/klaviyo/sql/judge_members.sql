-- Says of each member whether they can be written to, and if not why: without an address; with none
-- that is plausible (RFC 5321's lengths, one @, a domain of at least two labels); behind a
-- marketplace's relay, where there is no person to write to; a customer who is no person, such as a
-- connector's default customer; erased at their own wish; or with the address of another member.
-- RFM leaves some of those out too, but other segments hold them, and a mart holds them until the
-- next build. The domain is cut out as int_customers_eligible_for_rfm.sql does.
insert into pg_temp.klaviyo_members (config_id, customer_id, email, reason)
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
        nullif(lower(btrim(s.email)), '') as email,
        lower(split_part(btrim(s.email), '@', -1)) as domain
    from pg_temp.klaviyo_segment as s
),

excluded as (
    select unnest(r.excluded_customer_ids) as customer_id
    from app.rfm_settings as r
    where r.tenant_id = %(tenant_id)s
),

judged as (
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
    left join marts.relay_domains as r on a.domain = r.domain
),

ranked as (
    select
        j.*,
        row_number() over (
            partition by j.config_id, j.email, j.reason
            order by j.customer_id
        ) as place
    from judged as j
)

select
    r.config_id,
    r.customer_id,
    r.email,
    case when r.reason is null and r.place > 1 then 'duplicate' else r.reason end as reason
from ranked as r
