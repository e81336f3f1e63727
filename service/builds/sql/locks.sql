-- name: lock_builds
-- Takes the build lock of each tenant, always in the same order, so that processes cannot deadlock.
select pg_advisory_lock(hashtextextended('quintile build ' || t.tenant_id, 0))
from (
    select tenant_id
    from unnest(%(tenant_ids)s::uuid[]) as tenant_id
    order by tenant_id
) as t;

-- name: take_slot
-- Locks the first free slot; no row when all are taken.
select slot
from generate_series(0, %(slots)s - 1) as slot
where pg_try_advisory_lock(hashtextextended('quintile build slot ' || slot, 0))
limit 1; -- noqa: AM09

-- name: list_build_tenants
-- Tenants with these names, or all; if ids are given, only those among them. Read as
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
-- Whether built rows of erased tenants are left. Read as quintile_transform.
select count(*) > 0 as has_erased
from marts.rfm_builds as b
where not exists (select from app.tenants as t where t.tenant_id = b.tenant_id);

-- name: is_project_built
-- Whether every table and view exists, and was built by these models. Read as quintile_transform.
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
-- Records the tables and views after a build that ran alone. Run as quintile_transform.
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
