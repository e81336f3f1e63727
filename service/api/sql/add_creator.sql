-- A new creator.
insert into app.creators (tenant_id, handle, platform, name, email, profile_url, notes)
values (
    %(tenant_id)s, %(handle)s, %(platform)s, %(name)s, %(email)s, %(profile_url)s, %(notes)s
)
returning creator_id
