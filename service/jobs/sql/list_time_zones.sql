-- Time zones that tenants live in. Read as quintile_transform.
select distinct t.time_zone
from app.tenants as t
