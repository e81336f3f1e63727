-- Whether somebody else may be using a role of ours: this database was prepared before, or another
-- database of the server grants the role something or has something of its own.
select
    (
        select count(*) > 0
        from pg_class as c
        inner join pg_namespace as n on c.relnamespace = n.oid
        where n.nspname = 'app' and c.relname = 'schema_migrations'
    )
    or (
        select count(*) > 0
        from pg_shdepend as d
        inner join pg_roles as r on d.refobjid = r.oid
        cross join pg_database as here
        where
            d.refclassid = 'pg_authid'::regclass
            and r.rolname = %(role)s
            and here.datname = current_database()
            and (
                d.dbid not in (0, here.oid)
                or (d.classid = 'pg_database'::regclass and d.objid <> here.oid)
            )
    ) as is_taken
