-- How far a resource has been read.
select watermark
from shopify.sync_watermarks
where tenant_id = %(tenant_id)s and resource = %(resource)s
