-- The next few to be asked for by their ids.
select source_id
from shopify.rereads
where tenant_id = %(tenant_id)s and entity = %(entity)s
order by source_id asc
limit %(at_once)s
