-- Tenants by name, or all of them; only those of the ids given, if any are. Read as
-- quintile_transform.
select
    tenant_id,
    name
from app.tenants
where
    (%(names)s::text[] is null or name = any(%(names)s))
    and (%(tenant_ids)s::uuid[] is null or tenant_id = any(%(tenant_ids)s))
order by name
