-- Instants in RFM history after the midnight with which a day begins by the tenant's clock, of the
-- tenants named or of all. Read as quintile_transform.
select distinct h.as_of
from marts.rfm_segment_history as h
inner join app.tenants as t on h.tenant_id = t.tenant_id
inner join marts.rfm_builds as b on h.tenant_id = b.tenant_id
where
    h.as_of at time zone b.time_zone > %(last)s::date
    and (%(tenants)s::text[] is null or t.name = any(%(tenants)s))
