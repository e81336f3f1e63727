-- name: read_clock
-- The database's clock, which all processes share.
select now() as now;

-- name: read_watermark
-- How far a resource has been read.
select watermark
from shopify.sync_watermarks
where tenant_id = %(tenant_id)s and resource = %(resource)s;

-- name: advance_watermark
-- Notes how far a resource has been read, in the transaction that lands what it vouches for.
insert into shopify.sync_watermarks as w (tenant_id, resource, watermark, synced_at)
values (%(tenant_id)s, %(resource)s, %(watermark)s, now())
on conflict (tenant_id, resource) do update set
    watermark = greatest(w.watermark, excluded.watermark),
    synced_at = excluded.synced_at
where w.tenant_id = %(tenant_id)s;

-- name: quarantine
-- Keeps records that could not be read, with the reason.
insert into shopify.rejected_rows as j (tenant_id, entity, source_id, reason, payload)
select distinct on (r.source_id)
    %(tenant_id)s,
    %(entity)s,
    r.source_id,
    r.reason,
    r.payload
from jsonb_to_recordset(%(rows)s) as r (source_id text, reason text, payload jsonb)
order by r.source_id
on conflict (tenant_id, entity, source_id) do update set
    reason = excluded.reason,
    payload = excluded.payload,
    rejected_at = excluded.rejected_at
where
    j.tenant_id = %(tenant_id)s
    and (j.reason, j.payload) is distinct from (excluded.reason, excluded.payload);

-- name: clear_rejections
-- Forgets the rejections of records that have landed after all.
delete from shopify.rejected_rows
where
    tenant_id = %(tenant_id)s
    and entity = %(entity)s
    and source_id = any(%(source_ids)s);
