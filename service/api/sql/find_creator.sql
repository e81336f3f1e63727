-- A creator as written, kept from changing until the transaction ends.
select
    handle,
    platform,
    name,
    email,
    profile_url,
    notes
from app.creators
where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s
for update
