-- Leave a sample's creator to what the build finds.
delete from app.sample_creator_links
where tenant_id = %(tenant_id)s and order_id = %(order_id)s
