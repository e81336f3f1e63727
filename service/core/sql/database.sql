-- name: begin_as_tenant
-- Begin a tenant's transaction, in one round trip; the settings end with it. Times come in UTC,
-- whatever the server's time zone: Python cannot hold the year 1 of some zones.
begin;

select
    set_config('app.tenant_id', %(current_tenant_id)s, true),
    set_config('timezone', 'UTC', true),
    set_config('transaction_read_only', %(read_only)s, true),
    set_config('statement_timeout', %(timeout)s, true);

-- name: find_process
-- The id of the server process that runs this.
select pg_backend_pid() as process_id;

-- name: role_powers
-- Whether the schema exists, and each right of the connected role that quintile_app must not have.
-- The rights are session_user's, which a role can return to after SET ROLE.
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
-- Do not wait for the disk: the provider's next answer corrects counts lost in a crash.
select set_config('synchronous_commit', 'off', true);

-- name: lock
-- Take the lock for a piece of work, exclusive or shared, waiting until it is free.
select
    case
        when %(is_shared)s
            then pg_advisory_lock_shared(hashtextextended(%(work)s, 0))
        else pg_advisory_lock(hashtextextended(%(work)s, 0))
    end;

-- name: try_lock
-- Take the lock for a piece of work, exclusive or shared, if it is free.
select
    case
        when %(is_shared)s
            then pg_try_advisory_lock_shared(hashtextextended(%(work)s, 0))
        else pg_try_advisory_lock(hashtextextended(%(work)s, 0))
    end as is_locked;

-- name: unlock
-- Release the lock for a piece of work.
select
    case
        when %(is_shared)s
            then pg_advisory_unlock_shared(hashtextextended(%(work)s, 0))
        else pg_advisory_unlock(hashtextextended(%(work)s, 0))
    end;

-- name: is_role_taken
-- Whether another installation may use a role: this database was prepared before, or the role owns
-- or is granted something in another database of the server.
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

-- name: admin_rights
-- The rights a migration needs of the admin, and quoted names for the advice on a missing one.
select
    current_user::text as admin,
    quote_ident(current_user) as quoted_admin,
    quote_ident(current_database()) as quoted_database,
    (
        select rolcreaterole or rolsuper
        from pg_roles
        where rolname = current_user
    ) as may_create_roles,
    has_database_privilege(current_database(), 'create with grant option') as may_grant_create;

-- name: existing_roles
-- Which of these roles exist.
select rolname::text as name
from pg_roles
where rolname = any(%(roles)s);

-- name: create_schema_migrations
-- The table of applied migrations, made before the first one.
create table if not exists app.schema_migrations (
    name text primary key,
    checksum text not null,
    applied_at timestamptz not null default now()
);
