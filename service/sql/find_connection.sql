-- The sealed credential of one connection.
select
    sealed_secret,
    key_id
from app.connections
where tenant_id = %(tenant_id)s and provider = %(provider)s
