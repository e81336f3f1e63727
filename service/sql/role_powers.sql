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
where r.rolname = session_user
