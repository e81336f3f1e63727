-- What a segment is called, and whether it is gone; no row when there never was such a segment.
select
    coalesce(s.label, s.segment) as segment_name,
    false as is_gone
from marts.rfm_segments as s
where %(kind)s = 'rfm' and s.segment = %(segment)s

union all

select
    c.name as segment_name,
    c.gone_at is not null as is_gone
from shopify.cached_segments as c
where
    %(kind)s = 'shopify'
    and c.tenant_id = %(tenant_id)s
    and c.segment_id = %(segment)s

union all

select
    l.name as segment_name,
    l.gone_at is not null or not exists (
        select from app.klaviyo_sync_configs as p
        where
            p.tenant_id = %(tenant_id)s
            and p.list_id = l.list_id
            and p.direction in ('pull', 'bidirectional')
    ) as is_gone
from app.klaviyo_lists as l
where
    %(kind)s = 'klaviyo'
    and l.tenant_id = %(tenant_id)s
    and l.list_id = %(segment)s
