-- What people linked to the one goes to the other.
update app.sample_creator_links
set creator_id = %(into_id)s
where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s
