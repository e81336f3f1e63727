-- When a sync last saw one of the tenant's segments.
select max(synced_at) as as_of
from shopify.cached_segments
where tenant_id = %(tenant_id)s
