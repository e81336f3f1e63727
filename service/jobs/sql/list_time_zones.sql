-- Time zones that tenants live in. Read by a role that sees all tenants.
select distinct t.time_zone
from app.tenants as t
