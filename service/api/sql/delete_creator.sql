-- A creator and the links to it; what a build finds may link the orders to others.
delete from app.creators
where tenant_id = %(tenant_id)s and creator_id = %(creator_id)s
returning creator_id
