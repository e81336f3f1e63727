-- As of when the tenant's segments are, how many there are, and how many could not be read.
select
    count(*) filter (where s.gone_at is null) as segments,
    (
        select count(*)
        from shopify.rejected_rows as j
        where j.tenant_id = %(tenant_id)s and j.entity = 'segment'
    ) as unread,
    coalesce(
        (
            select w.synced_at
            from shopify.sync_watermarks as w
            where w.tenant_id = %(tenant_id)s and w.resource = 'segments'
        ),
        max(s.synced_at)
    ) as as_of
from shopify.cached_segments as s
where s.tenant_id = %(tenant_id)s
