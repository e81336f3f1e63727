-- Whether what has landed is to be compared with the shop's ids again; null when it never was.
select w.synced_at < now() - make_interval(hours => %(hours)s) as is_due
from shopify.sync_watermarks as w
where w.tenant_id = %(tenant_id)s and w.resource = 'comparison'
