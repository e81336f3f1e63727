-- name: read_clock
-- The database's time, which all processes share.
select now() as now;

-- name: read_watermark
-- How far a resource has been read with all the fields that are read now.
select watermark
from shopify.sync_watermarks
where tenant_id = %(tenant_id)s and resource = %(resource)s and revision = %(revision)s;

-- name: advance_watermark
-- Records how far a resource has been read, in the transaction that loads it.
insert into shopify.sync_watermarks as w (tenant_id, resource, watermark, synced_at, revision)
values (%(tenant_id)s, %(resource)s, %(watermark)s, now(), %(revision)s)
on conflict (tenant_id, resource) do update set
    watermark = case
        when w.revision = excluded.revision then greatest(w.watermark, excluded.watermark)
        else excluded.watermark
    end,
    synced_at = excluded.synced_at,
    revision = excluded.revision
where w.tenant_id = %(tenant_id)s;
