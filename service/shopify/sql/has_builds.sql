-- Whether anything has been built by dbt yet that we may read.
select count(*) > 0 as has_builds
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
    n.nspname = 'marts'
    and c.relname = 'rfm_builds'
    and has_schema_privilege(n.oid, 'usage')
    and has_table_privilege(c.oid, 'select')
