-- A page of Shopify's segments by name, and one row more that tells whether another page follows.
select
    segment_id as id,
    name,
    query,
    member_count,
    synced_at,
    gone_at,
    lower(name) as sort_name
from shopify.cached_segments
where
    tenant_id = %(tenant_id)s
    and (
        %(pattern)s::text is null
        or name ilike %(pattern)s
        or query ilike %(pattern)s
    )
    and (
        %(after_name)s::text is null
        or (lower(name), segment_id) > (%(after_name)s, %(after_id)s)
    )
order by lower(name), segment_id
limit %(row_limit)s
