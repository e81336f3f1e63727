-- What people call the segments of some keys; no row for one that is not known any more.
with keys as (
    select
        k.segment_key,
        split_part(k.segment_key, ':', 1) as kind,
        split_part(k.segment_key, ':', 2) as name
    from unnest(%(segment_keys)s::text[]) as k (segment_key)
)

select
    k.segment_key,
    initcap(left(k.name, 1)) || replace(substr(k.name, 2), '_', ' ') as name
from keys as k
where k.kind = 'rfm'

union

select
    k.segment_key,
    s.name
from keys as k
inner join shopify.cached_segments as s on k.name = s.segment_id
where s.tenant_id = %(tenant_id)s and k.kind = 'shopify'

union

select
    k.segment_key,
    l.name
from keys as k
inner join app.klaviyo_lists as l on k.name = l.list_id
where l.tenant_id = %(tenant_id)s and k.kind = 'klaviyo'
