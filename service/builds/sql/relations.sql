-- name: describe_relations
-- What dbt's tables and views are: a checksum of everything that a build would repair or check, and
-- what PostgreSQL guarantees of their rows. The checksum also has the columns that models read, and
-- the rows of the seeds. Read as quintile_transform.
with

relations as (
    select
        c.oid,
        c.relkind,
        n.nspname in ('staging', 'intermediate', 'marts') as is_built,
        n.nspname || '.' || c.relname as name,
        concat_ws(
            ' ', c.relkind, c.relowner, c.relacl, c.reloptions, c.relrowsecurity,
            c.relforcerowsecurity, md5(r.ev_action::text)
        ) as properties
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    left join pg_rewrite as r on c.oid = r.ev_class
    where
        n.nspname in ('staging', 'intermediate', 'marts', 'shopify', 'app')
        and c.relkind in ('r', 'p', 'v')
),

columns as (
    select
        a.attrelid,
        string_agg(
            concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attacl),
            ', ' order by a.attnum
        ) as properties,
        jsonb_agg(a.attname order by a.attnum) filter (where a.attnotnull) as not_null
    from relations as r
    inner join pg_attribute as a on r.oid = a.attrelid
    where a.attnum > 0 and not a.attisdropped
    group by a.attrelid
),

indexes as (
    select
        i.indrelid,
        string_agg(
            concat_ws(
                ' ', i.indkey, i.indisunique, i.indisvalid, i.indimmediate, i.indpred, i.indexprs
            ),
            ', ' order by i.indexrelid
        ) as properties,
        jsonb_agg(k.columns) filter (
            where
            i.indisunique and i.indisvalid and i.indimmediate
            and i.indpred is null and i.indexprs is null
            -- Null is never equal to null.
            and k.is_never_null
        ) as unique_keys
    from relations as r
    inner join pg_index as i on r.oid = i.indrelid
    cross join lateral (
        select
            jsonb_agg(a.attname order by a.attnum) as columns,
            bool_and(a.attnotnull) as is_never_null
        from pg_attribute as a
        where
            a.attrelid = i.indrelid
            and a.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1])
    ) as k
    where r.is_built
    group by i.indrelid
),

policies as (
    select
        p.polrelid,
        string_agg(
            concat_ws(
                ' ', p.polname, p.polcmd, p.polpermissive, p.polroles, p.polqual, p.polwithcheck
            ),
            ', ' order by p.polname
        ) as properties
    from relations as r
    inner join pg_policy as p on r.oid = p.polrelid
    where r.is_built
    group by p.polrelid
),

triggers as (
    select
        t.tgrelid,
        string_agg(concat_ws(' ', t.tgname, t.tgfoid, t.tgenabled), ', ' order by t.tgname)
            as properties
    from relations as r
    inner join pg_trigger as t on r.oid = t.tgrelid
    where r.is_built and not t.tgisinternal
    group by t.tgrelid
),

comments as (
    select
        d.objoid,
        string_agg(d.objsubid || ' ' || d.description, ', ' order by d.objsubid) as properties
    from relations as r
    inner join pg_description as d on r.oid = d.objoid and d.classoid = 'pg_class'::regclass
    where r.is_built
    group by d.objoid
),

seed_rows as (
    select
        'currency_exponents' as seed,
        s::text as seed_row
    from marts.currency_exponents as s
    union all
    select
        'fulfillment_statuses' as seed,
        s::text as seed_row
    from marts.fulfillment_statuses as s
    union all
    select
        'relay_domains' as seed,
        s::text as seed_row
    from marts.relay_domains as s
    union all
    select
        'rfm_segment_grid' as seed,
        s::text as seed_row
    from marts.rfm_segment_grid as s
    union all
    select
        'rfm_segments' as seed,
        s::text as seed_row
    from marts.rfm_segments as s
    union all
    select
        'sample_words' as seed,
        s::text as seed_row
    from marts.sample_words as s
)

select
    encode(
        sha256(
            convert_to(
                string_agg(
                    concat_ws(
                        E'\n', r.name, r.oid, r.properties, c.properties, i.properties,
                        p.properties, t.properties, d.properties
                    ),
                    E'\n' order by r.name
                )
                || (
                    select
                        coalesce(
                            string_agg(s.seed || s.seed_row, E'\n' order by s.seed, s.seed_row), ''
                        )
                    from seed_rows as s
                ),
                'UTF8'
            )
        ),
        'hex'
    ) as checksum,
    jsonb_object_agg(r.name, i.unique_keys) filter (where i.unique_keys is not null) as unique_keys,
    jsonb_object_agg(r.name, c.not_null) filter (
        where r.is_built and r.relkind <> 'v' and c.not_null is not null
    ) as not_null
from relations as r
left join columns as c on r.oid = c.attrelid
left join indexes as i on r.oid = i.indrelid
left join policies as p on r.oid = p.polrelid
left join triggers as t on r.oid = t.tgrelid
left join comments as d on r.oid = d.objoid;

-- name: are_relations_recorded
-- Whether a complete build has left the relations like this. Read as quintile_transform.
select count(*) > 0 as are_recorded
from app.built_project as p
where p.project = %(project)s and p.checksum = %(checksum)s;

-- name: record_relations
-- Records what relations a complete build has found and left. Run as quintile_transform.
insert into app.built_project (project, checksum, relations)
values (%(project)s, %(checksum)s, '{}')
on conflict (project) do update set
    checksum = excluded.checksum,
    built_at = excluded.built_at;
