-- Keeps the addresses that can be written to: plausible (RFC 5321's lengths, one @, a domain of at
-- least two labels), not a marketplace's relay, behind which there is no person to write to, and
-- not of a customer who is no person, such as a connector's default customer. RFM leaves those out
-- too, but Shopify's own segments hold them, and a mart holds them until the next build. The domain
-- is cut out as models/intermediate/rfm/int_customers_eligible_for_rfm.sql does.
insert into pg_temp.klaviyo_local (email, customer_id)
with addresses as (
    select
        m.customer_id,
        lower(btrim(m.email)) as email,
        lower(split_part(btrim(m.email), '@', -1)) as domain
    from pg_temp.klaviyo_members as m
),

plausible as (
    select
        a.customer_id,
        a.email,
        a.domain
    from addresses as a
    where
        length(a.email) <= 254
        and a.email ~ '^[^\s@"(),:;<>\[\\\][:cntrl:]]{1,64}@[a-z0-9.-]+$'
        and a.domain ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$'
)

select distinct on (p.email)
    p.email,
    p.customer_id
from plausible as p
where
    not exists (
        select from marts.relay_domains as r where r.domain = p.domain
    )
    and not exists (
        select from app.rfm_settings as s
        where
            s.tenant_id = %(tenant_id)s
            and p.customer_id = any(s.excluded_customer_ids)
    )
order by p.email, p.customer_id
