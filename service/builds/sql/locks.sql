-- name: lock_builds
-- Take the lock of each tenant's builds, in the same order as everybody, so that no two processes
-- wait for each other.
select pg_advisory_lock(hashtextextended('quintile build ' || t.tenant_id, 0))
from (
    select tenant_id
    from unnest(%(tenant_ids)s::uuid[]) as tenant_id
    order by tenant_id
) as t;

-- name: take_slot
-- The first slot that no other build has, locked; no row when all are taken.
select slot
from generate_series(0, %(slots)s - 1) as slot
where pg_try_advisory_lock(hashtextextended('quintile build slot ' || slot, 0))
limit 1; -- noqa: AM09

-- name: list_build_tenants
-- Tenants by name, or all of them; only those of the ids given, if any are. Read as
-- quintile_transform.
select
    tenant_id,
    name
from app.tenants
where
    (%(names)s::text[] is null or name = any(%(names)s))
    and (%(tenant_ids)s::uuid[] is null or tenant_id = any(%(tenant_ids)s))
order by name;

-- name: has_erased_tenants
-- Whether something built is there of tenants that are not. Read as quintile_transform.
select count(*) > 0 as is_so
from marts.rfm_builds as b
where not exists (select from app.tenants as t where t.tenant_id = b.tenant_id);

-- name: is_project_built
-- Whether all that dbt builds is there, as these models make it. Read as quintile_transform.
select count(*) > 0 as is_built
from app.built_project as p
where
    p.project = %(project)s
    and p.checksum = %(checksum)s
    and not exists (
        select from unnest(p.relations) as relation
        where to_regclass(relation) is null
    );

-- name: record_project_built
-- Note what a build has left that had everything to itself. Run as quintile_transform.
insert into app.built_project (project, checksum, relations)
select
    %(project)s,
    %(checksum)s,
    array_agg(format('%%I.%%I', n.nspname, c.relname) order by n.nspname, c.relname)
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
    n.nspname in ('staging', 'intermediate', 'marts')
    and c.relkind in ('r', 'p', 'v')
on conflict (project) do update set
    checksum = excluded.checksum,
    relations = excluded.relations,
    built_at = excluded.built_at;
