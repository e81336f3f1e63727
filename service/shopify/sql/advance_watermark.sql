-- Notes how far a resource has been read, in the transaction that lands what it vouches for.
insert into shopify.sync_watermarks as w (tenant_id, resource, watermark, synced_at)
values (%(tenant_id)s, %(resource)s, %(watermark)s, now())
on conflict (tenant_id, resource) do update set
    watermark = greatest(w.watermark, excluded.watermark),
    synced_at = excluded.synced_at
where w.tenant_id = %(tenant_id)s
