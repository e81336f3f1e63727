-- Every relation of the service and of this project with a tenant_id is under row level security as
-- defined in sql/rls, all its keys, indexes and foreign keys start with tenant_id, and the roles of
-- the service have no other rights. What others have in the same database, and what other targets
-- have built, such as a developer's, must not stop a build: `quintile doctor` names it.
{{ config(enabled=are_relations_protected()) }}

with

findings as (
    select * from {{ source('app', 'isolation_findings') }}
),

own_schemas (schema_name) as (
    values
    ('{{ generate_schema_name('staging', model) | trim }}'),
    ('{{ generate_schema_name('intermediate', model) | trim }}'),
    ('{{ generate_schema_name('marts', model) | trim }}')
)

select
    f.relation,
    f.finding
from findings as f
where
    f.relation ~ '^(app|shopify|jobs)\.'
    or f.relation ~ '^(role )?quintile_(owner|transform|app)$'
    or exists (
        select from own_schemas as o
        where starts_with(f.relation, quote_ident(o.schema_name) || '.')
    )
