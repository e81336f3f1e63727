-- The three roles and their privileges. Run before every migration by the admin of
-- QUINTILE_DATABASE_URL, who need not be a superuser. Idempotent.
--
--   quintile_owner      owns schemas shopify and app, and runs migrations; cannot log in
--   quintile_transform  dbt: reads schemas shopify and app, owns staging, intermediate and marts,
--                       and the same schemas of developers (dbt_alice_marts)
--   quintile_app        the service: owns nothing, sees one tenant per transaction

do $$
declare
    wanted text;
begin
    foreach wanted in array array['quintile_owner', 'quintile_transform', 'quintile_app'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            execute format(
                'create role %I %s',
                wanted,
                case wanted when 'quintile_owner' then 'nologin' else 'login' end
            );
            -- With the default of 4 MB, aggregates over all customers of a store spill to disk. Set
            -- only at creation, so that an operator can change it.
            if wanted = 'quintile_transform' then
                alter role quintile_transform set work_mem = '64MB';
            end if;
        end if;
        -- The admin acts as each role in turn; only a superuser can do so without a grant.
        if not (select rolsuper from pg_roles where rolname = current_user)
            and not pg_has_role(
                current_user,
                wanted,
                case when current_setting('server_version_num')::int >= 160000
                    then 'SET' else 'MEMBER' end
            )
        then
            execute format('grant %I to current_user', wanted);
        end if;
        execute format('grant connect, temporary on database %I to %I', current_database(), wanted);
    end loop;
    execute format('grant create on database %I to quintile_owner', current_database());
    -- dbt creates the schemas of every target that is not production.
    execute format('grant create on database %I to quintile_transform', current_database());
end
$$;

create schema if not exists shopify authorization quintile_owner;
create schema if not exists app authorization quintile_owner;
create schema if not exists jobs authorization quintile_owner;
create schema if not exists staging authorization quintile_transform;
create schema if not exists intermediate authorization quintile_transform;
create schema if not exists marts authorization quintile_transform;

-- Before the first build the service finds no mart, instead of a schema that it may not enter.
set local role quintile_transform;
grant usage on schema marts to quintile_app;
reset role;
