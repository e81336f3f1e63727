-- Change a creator to what is given, all of it.
update app.creators
set
    handle = %(handle)s,
    platform = %(platform)s,
    name = %(name)s,
    email = %(email)s,
    profile_url = %(profile_url)s,
    notes = %(notes)s,
    updated_at = now()
where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s
