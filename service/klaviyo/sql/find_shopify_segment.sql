-- Whether the store still has a segment; no row when it never had it.
select gone_at is not null as is_gone
from shopify.cached_segments
where tenant_id = %(tenant_id)s and segment_id = %(segment_id)s
