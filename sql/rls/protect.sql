-- The definition of tenant isolation. Every `quintile migrate` runs this file as quintile_owner.
--
-- Migrations and dbt's post-hook call app.protect(). `quintile doctor` and a dbt test read
-- app.isolation_findings (findings.sql), which must be empty.

-- Expression of the policy tenant_isolation (all_tenants allows every row). Citus does not accept
-- subqueries in policies, so the setting is compared directly there. Elsewhere the subquery makes
-- it one evaluation per scan, which is 4 to 6 times faster than one per row.
create or replace function app.tenant_policy_expression() returns text
language sql stable
set search_path = pg_catalog
return (
    select case
        when exists (select from pg_extension where extname = 'citus')
            then 'tenant_id = nullif(current_setting(''app.tenant_id'', true), '''')::uuid'
        else 'tenant_id = (select nullif(current_setting(''app.tenant_id'', true), '''')::uuid)'
    end
);

-- The same expression as PostgreSQL prints it.
create or replace function app.tenant_policy_as_stored() returns text
language sql stable
set search_path = pg_catalog
return (
    select case
        when exists (select from pg_extension where extname = 'citus')
            then '(tenant_id = (NULLIF(current_setting(''app.tenant_id''::text, true),'
                || ' ''''::text))::uuid)'
        else '(tenant_id = ( SELECT (NULLIF(current_setting(''app.tenant_id''::text, true),'
            || ' ''''::text))::uuid AS "nullif"))'
    end
);

-- Problems with the isolation of one relation; no rows if there are none.
create or replace function app.isolation_findings_of(relation oid)
returns table (finding text)
language sql stable
set search_path = pg_catalog
begin atomic
    with facts as (
        select
            c.oid,
            c.relkind,
            c.relrowsecurity,
            c.relforcerowsecurity,
            a.attnum as tenant_attnum,
            a.attnotnull,
            coalesce(c.reloptions::text[], '{}') as options
        from pg_class as c
        inner join pg_attribute as a on c.oid = a.attrelid
        where
            c.oid = isolation_findings_of.relation
            and a.attname = 'tenant_id'
            and not a.attisdropped
    ),

    policies as (
        select
            p.polname,
            p.polcmd,
            p.polpermissive,
            pg_get_expr(p.polqual, p.polrelid) as using_expression,
            pg_get_expr(p.polwithcheck, p.polrelid) as check_expression,
            (
                select array_agg(coalesce(r.rolname::text, 'public') order by r.rolname)
                from unnest(p.polroles) as granted (role_oid)
                left join pg_roles as r on granted.role_oid = r.oid
            ) as role_names
        from pg_policy as p
        where p.polrelid = isolation_findings_of.relation
    )

    select 'row level security is not enabled' as finding
    from facts
    where relkind in ('r', 'p') and not relrowsecurity
    union all
    select 'row level security is not forced on the owner'
    from facts
    where relkind in ('r', 'p') and not relforcerowsecurity
    union all
    select 'tenant_id may be null'
    from facts
    where relkind in ('r', 'p') and not attnotnull
    union all
    select 'policy tenant_isolation is missing or altered'
    from facts
    where
        relkind in ('r', 'p')
        and not exists (
            select from policies
            where
                polname = 'tenant_isolation'
                and polcmd = '*'
                and polpermissive
                and role_names = array['quintile_app']
                and using_expression = app.tenant_policy_as_stored()
                and check_expression = app.tenant_policy_as_stored()
        )
    union all
    select 'policy all_tenants is missing or altered'
    from facts
    where
        relkind in ('r', 'p')
        and not exists (
            select from policies
            where
                polname = 'all_tenants'
                and polcmd = '*'
                and polpermissive
                and role_names = array['quintile_owner', 'quintile_transform']
                and using_expression = 'true'
                and check_expression = 'true'
        )
    union all
    select format('unexpected policy %I', p.polname)
    from facts
    cross join policies as p
    where p.polname not in ('tenant_isolation', 'all_tenants')
    union all
    select 'the view reads with its owner''s rights (security_invoker is off)'
    from facts
    where relkind = 'v' and not 'security_invoker=true' = any(options)
    union all
    select 'a materialized view cannot be isolated'
    from facts
    where relkind = 'm'
    union all
    select format('index %s does not lead with tenant_id', i.indexrelid::regclass)
    from facts as f
    inner join pg_index as i on f.oid = i.indrelid
    where
        f.tenant_attnum <> i.indkey[0]
        -- Order tags as numbers that differ between tenants.
        and pg_get_indexdef(i.indexrelid, 1, true) not like 'app.tenant_tag_numbers(tenant_id, %'
        -- The two lookups that happen before the tenant is known. Only quintile_owner may write
        -- these columns, so a conflict cannot reveal to one tenant that another exists.
        and i.indexrelid not in (
            select k.oid
            from pg_class as k
            inner join pg_namespace as n on k.relnamespace = n.oid
            where n.nspname = 'app' and k.relname in ('tenants_name_key', 'tenants_shop_domain_key')
        )
    union all
    select format('foreign key %I does not lead with tenant_id', k.conname)
    from facts as f
    inner join pg_constraint as k on f.oid = k.conrelid
    inner join pg_attribute as a on k.confrelid = a.attrelid and k.confkey[1] = a.attnum
    where k.contype = 'f' and (k.conkey[1] <> f.tenant_attnum or a.attname <> 'tenant_id');
end;

-- Isolates a relation: policies, ENABLE and FORCE for a table, security_invoker for a view. Reads
-- the catalog first and takes no lock if nothing needs to change. It runs in the caller's
-- transaction, so a table is never visible without its policies.
create or replace procedure app.protect(relation regclass)
language plpgsql
as $$
declare
    kind "char" := (select relkind from pg_catalog.pg_class where oid = relation);
    expression text := app.tenant_policy_expression();
    found text[];
    policy name;
begin
    if not exists (
        select from pg_catalog.pg_attribute
        where attrelid = relation and attname = 'tenant_id' and not attisdropped
    ) then
        raise exception '% has no tenant_id', relation
            using hint = 'Every relation of Quintile leads with tenant_id uuid not null.';
    end if;
    select array_agg(finding) into found from app.isolation_findings_of(relation);
    if found is null then
        return;
    end if;
    if kind = 'v' then
        execute pg_catalog.format('alter view %s set (security_invoker = true)', relation);
        return;
    end if;
    if kind not in ('r', 'p') then
        raise exception '% cannot be isolated by row level security', relation
            using hint = 'Use a table or a view.';
    end if;
    for policy in select polname from pg_catalog.pg_policy where polrelid = relation loop
        execute pg_catalog.format('drop policy %I on %s', policy, relation);
    end loop;
    execute pg_catalog.format(
        'create policy tenant_isolation on %s for all to quintile_app using (%s) with check (%s)',
        relation, expression, expression
    );
    execute pg_catalog.format(
        'create policy all_tenants on %s for all to quintile_owner, quintile_transform'
        ' using (true) with check (true)',
        relation
    );
    execute pg_catalog.format('alter table %s enable row level security', relation);
    execute pg_catalog.format('alter table %s force row level security', relation);
    if not (
        select attnotnull from pg_catalog.pg_attribute
        where attrelid = relation and attname = 'tenant_id'
    ) then
        execute pg_catalog.format('alter table %s alter column tenant_id set not null', relation);
    end if;
end
$$;

-- Problems with the isolation of the job queue. Its tables belong to procrastinate and have no
-- tenant_id; sql/rls/queue.sql gives them policies of their own.
create or replace view app.queue_findings with (security_invoker = true) as
with wanted (relation, policies) as (
    values
    (
        'procrastinate_jobs',
        array[
            'all_tenants true',
            'tenant_isolation ((args ->> ''tenant_id''::text) = ( SELECT'
            || ' NULLIF(current_setting(''app.tenant_id''::text, true), ''''::text) AS "nullif"))'
        ]
    ),
    (
        'procrastinate_events',
        array[
            'all_tenants true',
            'tenant_isolation (EXISTS ( SELECT FROM jobs.procrastinate_jobs j WHERE'
            || ' (j.id = procrastinate_events.job_id)))'
        ]
    )
),

found as (
    select
        w.relation,
        w.policies as wanted_policies,
        c.relrowsecurity and c.relforcerowsecurity as is_forced,
        array(
            select
                p.polname || ' '
                || regexp_replace(
                    replace(pg_get_expr(p.polqual, p.polrelid), 'FROM procr', 'FROM jobs.procr'),
                    '\s+', ' ', 'g'
                )
            from pg_catalog.pg_policy as p
            where
                p.polrelid = c.oid
                and pg_get_expr(p.polqual, p.polrelid)
                = pg_get_expr(p.polwithcheck, p.polrelid)
            order by p.polname
        ) as policies
    from wanted as w
    inner join pg_catalog.pg_namespace as n on n.nspname = 'jobs'
    inner join pg_catalog.pg_class as c on n.oid = c.relnamespace and w.relation = c.relname
)

select
    'jobs.' || f.relation as relation,
    'row level security of the job queue is off or altered' as finding
from found as f
where not f.is_forced or f.policies <> f.wanted_policies;

grant usage on schema app to quintile_app, quintile_transform;
grant usage on schema shopify to quintile_app, quintile_transform;
grant select on app.queue_findings to quintile_app, quintile_transform;
