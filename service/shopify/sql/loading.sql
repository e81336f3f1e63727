-- name: read_clock
-- The database's time, which all processes share.
select now() as now;

-- name: read_watermark
-- How far a resource has been read.
select watermark
from shopify.sync_watermarks
where tenant_id = %(tenant_id)s and resource = %(resource)s;

-- name: advance_watermark
-- Records how far a resource has been read, in the transaction that loads it.
insert into shopify.sync_watermarks as w (tenant_id, resource, watermark, synced_at)
values (%(tenant_id)s, %(resource)s, %(watermark)s, now())
on conflict (tenant_id, resource) do update set
    watermark = greatest(w.watermark, excluded.watermark),
    synced_at = excluded.synced_at
where w.tenant_id = %(tenant_id)s;
