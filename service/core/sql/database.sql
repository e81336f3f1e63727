-- name: enter_tenant
-- First statement of every tenant transaction; all three settings end with the transaction.
select
    set_config('app.tenant_id', %(tenant_id)s, true),
    set_config('transaction_read_only', %(read_only)s, true),
    set_config('statement_timeout', %(timeout)s, true);

-- name: role_powers
-- Whether the schema is there, and what the connected role may do beyond quintile_app's job, one
-- phrase each; none is right.
-- session_user counts as well: a role that can return to being more is more.
select
    session_user::text as role,
    (
        select count(*) > 0
        from pg_class as c
        inner join pg_namespace as n on c.relnamespace = n.oid
        where n.nspname = 'app' and c.relname = 'tenants'
    ) as is_prepared,
    array_remove(
        array[
            case when r.rolsuper then 'is a superuser' end,
            case when r.rolbypassrls then 'has BYPASSRLS' end,
            case when r.rolcreaterole then 'may create roles and grant itself others' end,
            case
                when exists (
                    select from pg_roles as g
                    where
                        (g.rolsuper or g.rolbypassrls or g.rolcreaterole)
                        and g.oid <> r.oid
                        and pg_has_role(session_user, g.oid, 'MEMBER')
                )
                    then 'may act as a stronger role'
            end,
            case
                when pg_has_role(session_user, 'quintile_owner', 'MEMBER')
                    then 'may act as quintile_owner'
            end,
            case
                when pg_has_role(session_user, 'quintile_transform', 'MEMBER')
                    then 'may act as quintile_transform'
            end,
            case
                when exists (
                    select from pg_class as c
                    where c.relowner = r.oid and c.relpersistence <> 't'
                )
                    then 'owns tables'
            end
        ],
        null
    ) as powers
from pg_roles as r
where r.rolname = session_user;

-- name: relax_commit
-- Nobody waits for the disk: a count lost in a crash is made good by Shopify's next answer.
select set_config('synchronous_commit', 'off', true);

-- name: lock
-- Take the lock for a piece of work, alone or with others that share it, waiting for whoever is in
-- the way.
select
    case
        when %(is_shared)s
            then pg_advisory_lock_shared(hashtextextended(%(work)s, 0))
        else pg_advisory_lock(hashtextextended(%(work)s, 0))
    end;

-- name: try_lock
-- Take the lock for a piece of work, alone or with others that share it, if nobody is in the way.
select
    case
        when %(is_shared)s
            then pg_try_advisory_lock_shared(hashtextextended(%(work)s, 0))
        else pg_try_advisory_lock(hashtextextended(%(work)s, 0))
    end as is_locked;

-- name: unlock
-- Give the lock back.
select
    case
        when %(is_shared)s
            then pg_advisory_unlock_shared(hashtextextended(%(work)s, 0))
        else pg_advisory_unlock(hashtextextended(%(work)s, 0))
    end;

-- name: is_role_taken
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
    ) as is_taken;
