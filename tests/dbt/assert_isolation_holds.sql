-- Every relation with a tenant_id is under row level security as defined in sql/rls, and all its
-- keys, indexes and foreign keys start with tenant_id. What other targets have built, such as a
-- developer's, is left to their own tests and to `quintile doctor`.
{{ config(enabled=are_relations_protected()) }}

with

findings as (
    select * from {{ source('app', 'isolation_findings') }}
),

other_schemas as (
    select quote_ident(nspname) as schema_name
    from pg_namespace
    where
        pg_get_userbyid(nspowner) = 'quintile_transform'
        and nspname not in (
            '{{ generate_schema_name('staging', model) | trim }}',
            '{{ generate_schema_name('intermediate', model) | trim }}',
            '{{ generate_schema_name('marts', model) | trim }}'
        )
)

select
    f.relation,
    f.finding
from findings as f
where
    not exists (
        select from other_schemas as o
        where starts_with(f.relation, o.schema_name || '.')
    )
