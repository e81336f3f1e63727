-- How many secrets each key seals, of all tenants; read as quintile_owner.
select
    key_id,
    count(*)::int as secrets
from app.connections
where sealed_secret is not null
group by key_id
order by key_id
