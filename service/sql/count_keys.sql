-- How many secrets each key seals, of all tenants; read as quintile_owner.
select
    s.key_id,
    count(*)::int as secrets
from (
    select key_id
    from app.connections
    where sealed_secret is not null
    union all
    select key_id
    from app.notification_hooks
) as s
group by s.key_id
order by s.key_id
