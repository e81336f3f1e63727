-- Every relation with a tenant_id is under row level security as sql/rls defines it, and every key,
-- index and foreign key of it leads with tenant_id.
{{ config(enabled=are_relations_protected()) }}

select
    relation,
    finding
from {{ source('app', 'isolation_findings') }}
