-- The one goes, and the other takes from it what it lacks.
with gone as (
    delete from app.creators
    where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s
    returning handle, platform, name, email, profile_url, notes
)

update app.creators as t
set
    handle = coalesce(t.handle, g.handle),
    platform = case when t.handle is null then g.platform else t.platform end,
    name = coalesce(t.name, g.name),
    email = coalesce(t.email, g.email),
    profile_url = coalesce(t.profile_url, g.profile_url),
    notes = nullif(concat_ws(e'\n', t.notes, g.notes), ''),
    updated_at = now()
from gone as g
where t.tenant_id = %(tenant_id)s and t.creator_id = %(into_id)s
