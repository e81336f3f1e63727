-- Take the lock of each tenant's builds, in the same order as everybody, so that no two processes
-- wait for each other.
select pg_advisory_lock(hashtextextended('quintile build ' || t.tenant_id, 0))
from (
    select tenant_id
    from unnest(%(tenant_ids)s::uuid[]) as tenant_id
    order by tenant_id
) as t
