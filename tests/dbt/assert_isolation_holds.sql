-- Every relation with a tenant_id is under row level security as defined in sql/rls, and all its
-- keys, indexes and foreign keys start with tenant_id.
{{ config(enabled=are_relations_protected()) }}

select
    relation,
    finding
from {{ source('app', 'isolation_findings') }}
