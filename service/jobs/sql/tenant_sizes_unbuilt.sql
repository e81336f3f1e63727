-- The class of every tenant before dbt has built anything. Read as quintile_transform.
select
    t.tenant_id,
    'unbuilt' as size
from app.tenants as t
