-- The newest instant built of the tenants named or of all; null when none is as late as a day. Read
-- as quintile_transform.
select max(b.as_of) as as_of
from marts.rfm_builds as b
inner join app.tenants as t on b.tenant_id = t.tenant_id
where
    b.as_of at time zone b.time_zone >= %(last)s::date
    and (%(tenants)s::text[] is null or t.name = any(%(tenants)s))
