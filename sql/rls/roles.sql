-- The three roles and what each may do. Run by the admin of QUINTILE_DATABASE_URL, superuser or
-- not, before every migration; changes nothing that is already right.
--
--   quintile_owner      owns schemas shopify and app, and migrates; cannot log in
--   quintile_transform  dbt: reads what has landed, owns staging, intermediate and marts
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
            -- Aggregates over all customers of a store go to disk with the usual 4 MB. Set once,
            -- so that whoever runs the server may set something else.
            if wanted = 'quintile_transform' then
                alter role quintile_transform set work_mem = '64MB';
            end if;
        end if;
        -- The admin acts as each of them in turn; a superuser may do so unasked.
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
end
$$;

create schema if not exists shopify authorization quintile_owner;
create schema if not exists app authorization quintile_owner;
create schema if not exists jobs authorization quintile_owner;
create schema if not exists staging authorization quintile_transform;
create schema if not exists intermediate authorization quintile_transform;
create schema if not exists marts authorization quintile_transform;
