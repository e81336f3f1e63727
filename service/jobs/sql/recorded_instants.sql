-- Instants in RFM history after a day, of the tenants named or of all. Read as quintile_transform.
select distinct h.as_of
from marts.rfm_segment_history as h
inner join app.tenants as t on h.tenant_id = t.tenant_id
where
    h.as_of > %(last)s
    and (%(tenants)s::text[] is null or t.name = any(%(tenants)s))
