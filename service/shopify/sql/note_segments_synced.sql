-- Notes as of when all segments have been read.
insert into shopify.sync_watermarks as w (tenant_id, resource, synced_at)
values (%(tenant_id)s, 'segments', %(read_at)s)
on conflict (tenant_id, resource) do update set
    synced_at = greatest(w.synced_at, excluded.synced_at)
where w.tenant_id = %(tenant_id)s
