-- How many are to be asked for by their ids.
select count(*) as waiting
from shopify.rereads
where tenant_id = %(tenant_id)s and entity = %(entity)s
