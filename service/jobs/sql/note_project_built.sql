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
    built_at = excluded.built_at
