-- What quintile_app, the role of the service, may reach, and everything that goes beyond it. Every
-- `quintile migrate` runs this file as quintile_owner, after all migrations.
--
-- Privileges are compared with the lists below: what is not in them is a finding. A migration that
-- gives the service a table or adds a function adds a line here.
-- `quintile doctor` names every row of app.isolation_findings. Migrations and the dbt test of a
-- build fail because of those about Quintile's own schemas and roles only.

create or replace view app.isolation_findings with (security_invoker = true) as
with granted_lists (privileges, relations) as (
    values
        (
            array['DELETE', 'INSERT', 'SELECT', 'UPDATE'],
            array[
                'app.build_followups',
                'app.connections',
                'app.creator_aliases',
                'app.creators',
                'app.idempotent_requests',
                'app.klaviyo_events',
                'app.klaviyo_ledger',
                'app.klaviyo_list_counts',
                'app.klaviyo_list_changes',
                'app.klaviyo_list_profiles',
                'app.klaviyo_lists',
                'app.klaviyo_profiles',
                'app.klaviyo_sync_configs',
                'app.klaviyo_sync_runs',
                'app.notification_hooks',
                'app.notifications',
                'app.promo_code_changes',
                'app.promo_code_target_changes',
                'app.promo_code_targets',
                'app.promo_codes',
                'app.runs',
                'app.sample_creator_links',
                'app.sample_decisions',
                'app.segment_sizes',
                'app.shopify_customer_metafields',
                'app.shopify_metafield_changes',
                'app.shopify_metafields',
                'app.webhook_deliveries',
                'app.webhook_endpoints',
                'app.webhook_events',
                'app.webhook_progress',
                'app.webhook_samples',
                'app.webhook_secrets',
                'app.webhook_sync_states',
                'shopify.bulk_operations',
                'shopify.cached_segments',
                'shopify.customers',
                'shopify.orders',
                'shopify.rejected_rows',
                'shopify.rereads',
                'shopify.segment_changes',
                'shopify.segment_confirmations',
                'shopify.segment_members',
                'shopify.sync_positions',
                'shopify.sync_watermarks',
                'shopify.withheld_fields'
            ]
        ),
        (
            array['SELECT'],
            array[
                'app.api_tokens',
                'app.audit_log',
                'app.isolation_findings',
                'app.klaviyo_members',
                'app.queue_findings',
                'app.reachable_connections',
                'app.scheduled_connections',
                'app.tenants'
            ]
        ),
        (
            array['INSERT', 'SELECT'],
            array[
                'app.erased_subjects',
                'app.erasure_keys',
                'app.privacy_receipts',
                'app.samples_config_changes',
                'jobs.procrastinate_jobs'
            ]
        ),
        (
            array['INSERT', 'SELECT', 'UPDATE'],
            array[
                'app.klaviyo_windows',
                'app.rfm_settings',
                'app.samples_config',
                'app.schedules',
                'app.shopify_buckets'
            ]
        ),
        (
            array['DELETE', 'INSERT', 'SELECT'],
            array[
                'app.privacy_exports',
                'app.rfm_segment_grid',
                'app.rfm_segments',
                'app.sessions'
            ]
        ),
        (
            array['USAGE'],
            array[
                'jobs.procrastinate_events_id_seq',
                'jobs.procrastinate_jobs_id_seq'
            ]
        ),
        (
            array['DELETE', 'SELECT'],
            array[
                'app.sign_in_codes'
            ]
        ),
        (
            array['INSERT'],
            array[
                'jobs.procrastinate_events'
            ]
        )
),

granted as (
    select
        r.relation,
        p.privilege,
        null as column_name
    from granted_lists as g
    cross join unnest(g.relations) as r (relation)
    cross join unnest(g.privileges) as p (privilege)
    union all
    select
        c.relation,
        c.privilege,
        n.column_name
    from (
        values
        (
            'app.api_tokens',
            'INSERT',
            array[
                'tenant_id', 'token_id', 'token_hash', 'label', 'last_four', 'scope', 'created_by',
                'expires_at'
            ]
        ),
        ('app.api_tokens', 'UPDATE', array['last_used_on', 'revoked_at']),
        (
            'app.audit_log',
            'INSERT',
            array[
                'tenant_id', 'actor', 'actor_kind', 'credential_id', 'action', 'subject', 'before',
                'after'
            ]
        ),
        (
            'app.sign_in_codes',
            'INSERT',
            array['tenant_id', 'code_hash', 'person', 'scope', 'expires_at']
        ),
        ('app.privacy_exports', 'UPDATE', array['sealed_document', 'key_id']),
        ('app.sign_in_codes', 'UPDATE', array['used_at']),
        ('app.tenants', 'UPDATE', array['country', 'currency', 'shop_domain', 'time_zone'])
    ) as c (relation, privilege, columns)
    cross join unnest(c.columns) as n (column_name)
),

-- Tables and views without tenant_id: rules that are the same for every tenant, and catalogs.
shared (shared_name) as (
    values
    ('currency_exponents'),
    ('fulfillment_statuses'),
    ('quintile_days'),
    ('relay_domains'),
    ('rfm_segment_grid'),
    ('rfm_segments'),
    ('sample_words')
),

known_functions (called) as (
    values
    ('address_key'),
    ('are_domains_valid'),
    ('are_ids_valid'),
    ('are_like_patterns_valid'),
    ('are_relay_domains_valid'),
    ('are_tags_valid'),
    ('are_window_days_valid'),
    ('clean_address'),
    ('condition_of_person'),
    ('customer_id_of_address'),
    ('customer_id_of_phone'),
    ('distinct_tags'),
    ('erase_built_rows_of_person'),
    ('erase_built_rows_of_tenant'),
    ('erasure_digest'),
    ('is_time_zone'),
    ('isolation_findings_of'),
    ('mentions'),
    ('points_outstanding'),
    ('protect'),
    ('rows_built_of_person'),
    ('tables_with_people'),
    ('tag_key'),
    ('tenant_of_shop'),
    ('tenant_policy_as_stored'),
    ('tenant_policy_expression'),
    ('tenant_tag_numbers')
),

-- Every schema but PostgreSQL's own; is_built is whether dbt owns it.
schemas as (
    select
        n.oid,
        n.nspname,
        n.nspacl,
        n.nspowner,
        n.nspname in ('app', 'shopify', 'jobs') as is_ours,
        pg_catalog.pg_get_userbyid(n.nspowner) = 'quintile_transform' as is_built,
        pg_catalog.has_schema_privilege('quintile_app', n.oid, 'USAGE') as is_open
    from pg_catalog.pg_namespace as n
    where
        n.nspname not in ('pg_catalog', 'information_schema')
        and n.nspname not like 'pg\_toast%'
        and n.nspname not like 'pg\_temp%'
),

-- Relations, except those of extensions.
relations as (
    select
        c.oid,
        c.relname,
        c.relkind,
        c.relacl,
        c.reloptions,
        s.nspname,
        s.is_ours,
        s.is_built,
        s.is_open,
        format('%I.%I', s.nspname, c.relname) as relation,
        pg_catalog.pg_get_userbyid(c.relowner) as owner_name,
        'tenant_id' = any(
            array(
                select a.attname from pg_catalog.pg_attribute as a
                where a.attrelid = c.oid and not a.attisdropped
            )
        ) as has_tenant
    from pg_catalog.pg_class as c
    inner join schemas as s on c.relnamespace = s.oid
    where
        c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
        and not exists (
            select from pg_catalog.pg_depend as d
            where
                d.classid = 'pg_catalog.pg_class'::regclass
                and d.objid = c.oid
                and d.deptype = 'e'
        )
),

-- What the service's role, or everybody, was granted on them.
privileges as (
    select
        r.*,
        g.grantee,
        g.privilege_type,
        null as column_name
    from relations as r
    cross join lateral aclexplode(r.relacl) as g
    where g.grantee = 0 or pg_catalog.pg_get_userbyid(g.grantee) = 'quintile_app'
    union all
    select
        r.*,
        g.grantee,
        g.privilege_type,
        a.attname as column_name
    from relations as r
    inner join pg_catalog.pg_attribute as a on r.oid = a.attrelid and not a.attisdropped
    cross join lateral aclexplode(a.attacl) as g
    where g.grantee = 0 or pg_catalog.pg_get_userbyid(g.grantee) = 'quintile_app'
),

routines as (
    select
        p.oid,
        s.is_ours,
        s.is_built,
        s.is_open,
        p.prosecdef,
        p.proleakproof,
        p.proname,
        format('%I.%I', s.nspname, p.proname) as relation,
        pg_catalog.pg_get_userbyid(p.proowner) as owner_name,
        -- The look-up of a webhook's tenant, compared literally. It returns only an id.
        s.nspname = 'app'
        and p.proname = 'tenant_of_shop'
        and p.prosrc = 'select tenant_id from app.tenants where shop_domain = shop'
        and p.prorettype = 'uuid'::regtype
        and coalesce(p.proconfig, '{}') = array['search_path=""']
        and pg_catalog.pg_get_userbyid(p.proowner) = 'quintile_owner' as is_look_up,
        0 = any(
            array(
                select g.grantee
                from pg_catalog.aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as g
            )
        ) as is_public
    from pg_catalog.pg_proc as p
    inner join schemas as s on p.pronamespace = s.oid
    where
        not exists (
            select from pg_catalog.pg_depend as d
            where
                d.classid = 'pg_catalog.pg_proc'::regclass
                and d.objid = p.oid
                and d.deptype = 'e'
        )
)

select
    format('%I.%I', n.nspname, c.relname) as relation,
    f.finding
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attribute as a
    on c.oid = a.attrelid and a.attname = 'tenant_id' and not a.attisdropped
cross join lateral app.isolation_findings_of(c.oid) as f
where
    c.relkind in ('r', 'p', 'v', 'm')
    and (
        n.nspname in ('shopify', 'app', 'staging', 'intermediate', 'marts')
        -- What developers build into schemas of their own.
        or pg_catalog.pg_get_userbyid(n.nspowner) = 'quintile_transform'
    )

union all

select
    q.relation,
    q.finding
from app.queue_findings as q

union all

select
    r.rolname as relation,
    'the role may bypass row level security' as finding
from pg_catalog.pg_roles as r
where
    r.rolname in ('quintile_owner', 'quintile_transform', 'quintile_app')
    and (r.rolsuper or r.rolbypassrls)

union all

select
    format('%I.%I', n.nspname, c.relname) as relation,
    'owned by quintile_app, which must own nothing' as finding
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_roles as r on c.relowner = r.oid
where r.rolname = 'quintile_app' and c.relpersistence <> 't'

union all

select
    format('%I.%I', s.nspname, c.relname) as relation,
    format('owned by %s, not by quintile_owner', pg_catalog.pg_get_userbyid(c.relowner)) as finding
from pg_catalog.pg_class as c
inner join schemas as s on c.relnamespace = s.oid
where
    s.is_ours
    and c.relkind in ('r', 'p', 'v', 'm', 'f')
    and pg_catalog.pg_get_userbyid(c.relowner) not in ('quintile_owner', 'quintile_app')

union all

select
    p.relation,
    format(
        '%s may %s%s, which is not in the list of privileges (sql/rls/findings.sql)',
        case p.grantee when 0 then 'PUBLIC' else 'quintile_app' end,
        p.privilege_type,
        ' ' || p.column_name
    ) as finding
from privileges as p
where
    p.is_open
    and not (
        p.grantee <> 0
        and (
            exists (
                select from granted as g
                where
                    g.relation = p.relation
                    and g.privilege = p.privilege_type
                    and g.column_name is not distinct from p.column_name
            )
            -- What dbt has built.
            or (
                p.is_built
                and p.owner_name = 'quintile_transform'
                and p.relkind in ('r', 'p', 'v')
                and p.privilege_type = 'SELECT'
                and (p.has_tenant or p.relname in (select s.shared_name from shared as s))
            )
        )
    )

union all

select distinct
    p.relation,
    'the view reads with its owner''s rights (security_invoker is off)' as finding
from privileges as p
where
    p.is_open
    and p.relkind = 'v'
    and not p.has_tenant
    and not 'security_invoker=true' = any(coalesce(p.reloptions::text[], '{}'))
    -- It reads more than what all tenants share.
    and exists (
        select from pg_catalog.pg_rewrite as w
        inner join pg_catalog.pg_depend as d on w.oid = d.objid
        inner join relations as r on d.refobjid = r.oid
        where
            w.ev_class = p.oid
            and d.classid = 'pg_catalog.pg_rewrite'::regclass
            and d.refclassid = 'pg_catalog.pg_class'::regclass
            and d.refobjid <> p.oid
            and (r.has_tenant or r.relname not in (select s.shared_name from shared as s))
    )

union all

select
    d.relation,
    'a SECURITY DEFINER function runs with more than its caller''s rights' as finding
from routines as d
where
    d.prosecdef
    and not d.is_look_up
    and (
        d.is_ours
        or d.is_built
        or (d.is_open and pg_catalog.has_function_privilege('quintile_app', d.oid, 'EXECUTE'))
    )

union all

select
    d.relation,
    'PUBLIC may execute the look-up of tenants' as finding
from routines as d
where d.is_look_up and d.is_public

union all

select
    d.relation,
    'the function is not in the list of functions (sql/rls/findings.sql)' as finding
from routines as d
where
    d.is_ours
    and not (
        d.owner_name = 'quintile_owner'
        and (
            (d.relation like 'app.%' and d.proname in (select f.called from known_functions as f))
            or (d.relation like 'jobs.%' and d.proname like 'procrastinate\_%')
        )
    )

union all

select
    d.relation,
    'a LEAKPROOF function runs before row level security' as finding
from routines as d
where d.proleakproof and d.is_open

union all

select
    r.relation,
    format('unexpected trigger %I', t.tgname) as finding
from pg_catalog.pg_trigger as t
inner join relations as r on t.tgrelid = r.oid
where
    (r.is_ours or r.is_built)
    and not t.tgisinternal
    and not (r.nspname = 'jobs' and t.tgname like 'procrastinate\_%')

union all

select
    r.relation,
    format('unexpected rule %I', w.rulename) as finding
from pg_catalog.pg_rewrite as w
inner join relations as r on w.ev_class = r.oid
where (r.is_ours or r.is_built) and w.rulename <> '_RETURN'

union all

select
    'schema ' || quote_ident(s.nspname) as relation,
    format(
        '%s has %s on the schema',
        case g.grantee when 0 then 'PUBLIC' else 'quintile_app' end,
        g.privilege_type
    ) as finding
from schemas as s
cross join lateral aclexplode(s.nspacl) as g
where
    (
        g.grantee = 0
        -- Nothing in it can be reached by USAGE alone.
        and (g.privilege_type = 'CREATE' or s.is_ours or s.is_built)
    )
    or (
        pg_catalog.pg_get_userbyid(g.grantee) = 'quintile_app'
        and not (g.privilege_type = 'USAGE' and (s.is_ours or s.is_built))
    )

union all

select
    'database ' || quote_ident(d.datname) as relation,
    format(
        '%s may create schemas in the database',
        case g.grantee when 0 then 'PUBLIC' else 'quintile_app' end
    ) as finding
from pg_catalog.pg_database as d
cross join lateral aclexplode(d.datacl) as g
where
    d.datname = current_database()
    and g.privilege_type = 'CREATE'
    and (g.grantee = 0 or pg_catalog.pg_get_userbyid(g.grantee) = 'quintile_app')

union all

select
    'role ' || quote_ident(m.rolname) as relation,
    format('a member of %I', r.rolname) as finding
from pg_catalog.pg_auth_members as a
inner join pg_catalog.pg_roles as r on a.roleid = r.oid
inner join pg_catalog.pg_roles as m on a.member = m.oid
where
    m.rolname = 'quintile_app'
    or (
        r.rolname in ('quintile_owner', 'quintile_transform', 'quintile_app')
        -- The admin, who runs migrations as each of the roles, or could make itself a member.
        and not m.rolsuper
        and not m.rolcreaterole
        and not (
            select count(distinct b.roleid) = 3
            from pg_catalog.pg_auth_members as b
            inner join pg_catalog.pg_roles as o on b.roleid = o.oid
            where
                b.member = a.member
                and o.rolname in ('quintile_owner', 'quintile_transform', 'quintile_app')
        )
    )

union all

select
    'role ' || quote_ident(r.rolname) as relation,
    'the role may create databases or roles, or replicate' as finding
from pg_catalog.pg_roles as r
where
    r.rolname in ('quintile_app', 'quintile_transform')
    and (r.rolcreatedb or r.rolcreaterole or r.rolreplication)

union all

select
    'role ' || quote_ident(r.rolname) as relation,
    format('the role starts with the setting %s', split_part(c.setting, '=', 1)) as finding
from pg_catalog.pg_db_role_setting as d
inner join pg_catalog.pg_roles as r on r.rolname = 'quintile_app'
cross join lateral unnest(d.setconfig) as c (setting)
where
    d.setrole in (0, r.oid)
    and (
        d.setdatabase = 0
        or d.setdatabase = (
            select b.oid from pg_catalog.pg_database as b
            where b.datname = current_database()
        )
    )
    and split_part(c.setting, '=', 1) in ('app.tenant_id', 'row_security', 'role')

union all

select
    'default privileges of ' || quote_ident(pg_catalog.pg_get_userbyid(d.defaclrole)) as relation,
    format(
        '%s gets %s on new objects%s',
        case g.grantee when 0 then 'PUBLIC' else 'quintile_app' end,
        g.privilege_type,
        ' in schema ' || quote_ident(s.nspname)
    ) as finding
from pg_catalog.pg_default_acl as d
left join schemas as s on d.defaclnamespace = s.oid
cross join lateral aclexplode(d.defaclacl) as g
where
    pg_catalog.pg_get_userbyid(g.grantee) = 'quintile_app'
    or (
        g.grantee = 0
        and (s.oid is null or s.is_open)
        -- PostgreSQL's own defaults, which others only repeat.
        and not (d.defaclobjtype = 'f' and g.privilege_type = 'EXECUTE')
        and not (d.defaclobjtype = 'T' and g.privilege_type = 'USAGE')
    );

grant select on app.isolation_findings to quintile_app, quintile_transform;
