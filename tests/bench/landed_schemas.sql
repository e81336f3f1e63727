-- The schemas that make_fivetran and make_airbyte fill.
select 'landed_' || name as name
from app.tenants
order by name
