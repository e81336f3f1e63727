-- name: read_clock
-- The database's time, which all processes share.
select now() as now;

-- name: read_watermark
-- How far a resource has been read with all the fields that are read now, or with more: a token
-- that has lost a scope goes on from there.
select watermark
from shopify.sync_watermarks
where tenant_id = %(tenant_id)s and resource = %(resource)s and revision >= %(revision)s;

-- name: advance_watermark
-- Records how far a resource has been read, in the transaction that loads it. While fields are
-- withheld, it also keeps how far the resource had been read with all of them.
insert into shopify.sync_watermarks as w (
    tenant_id, resource, watermark, synced_at, revision, is_complete
)
values (
    %(tenant_id)s, %(resource)s, %(watermark)s, now(), %(revision)s, %(is_complete)s
)
on conflict (tenant_id, resource) do update set
    watermark = case
        when w.revision >= excluded.revision then greatest(w.watermark, excluded.watermark)
        else excluded.watermark
    end,
    synced_at = excluded.synced_at,
    revision = excluded.revision,
    is_complete = excluded.is_complete and (w.is_complete or w.revision < excluded.revision),
    complete_to = case
        when w.revision < excluded.revision then null
        when w.is_complete and not excluded.is_complete then w.watermark
        else w.complete_to
    end
where w.tenant_id = %(tenant_id)s;

-- name: rewind_incomplete
-- Sends the watermarks back to where records were last read with all fields, after Shopify has
-- granted some that it withheld.
with rewound as (
    update shopify.sync_watermarks
    set watermark = complete_to, is_complete = true, complete_to = null
    where tenant_id = %(tenant_id)s and not is_complete
    returning resource
)

delete from shopify.sync_positions as p
using rewound as r
where p.tenant_id = %(tenant_id)s and p.resource = r.resource;

-- name: find_position
-- Where an earlier sync stopped paging a resource; no row if it had read all, or if it took other
-- fields from the records.
select
    search,
    cursor,
    latest,
    began_at
from shopify.sync_positions
where tenant_id = %(tenant_id)s and resource = %(resource)s and revision = %(revision)s;

-- name: save_position
-- Records how far a resource has been paged, in the transaction that loads the page.
insert into shopify.sync_positions as p (
    tenant_id, resource, revision, search, cursor, latest, began_at
)
values (
    %(tenant_id)s,
    %(resource)s,
    %(revision)s,
    %(search)s,
    %(cursor)s,
    %(latest)s::timestamptz[],
    %(began_at)s
)
on conflict (tenant_id, resource) do update set
    revision = excluded.revision,
    search = excluded.search,
    cursor = excluded.cursor,
    latest = excluded.latest,
    began_at = excluded.began_at,
    saved_at = excluded.saved_at
where p.tenant_id = %(tenant_id)s;

-- name: delete_position
-- Deletes the position of a resource that has been paged to its end.
delete from shopify.sync_positions
where tenant_id = %(tenant_id)s and resource = %(resource)s;

-- name: list_withheld
-- The fields that Shopify denies the app, as the last sync found.
select
    field,
    reason
from shopify.withheld_fields
where tenant_id = %(tenant_id)s
order by field;

-- name: record_withheld
-- Records fields that Shopify denies the app.
insert into shopify.withheld_fields as f (tenant_id, field, reason)
select
    %(tenant_id)s,
    w.field,
    w.reason
from unnest(%(fields)s::text[], %(reasons)s::text[]) as w (field, reason)
on conflict (tenant_id, field) do update set reason = excluded.reason
where f.tenant_id = %(tenant_id)s and f.reason <> excluded.reason;

-- name: delete_granted
-- Deletes the fields that Shopify no longer withholds.
delete from shopify.withheld_fields
where tenant_id = %(tenant_id)s and field <> all(%(withheld)s::text[]);

-- name: record_unserved
-- Has records asked for again that Shopify could not serve. An answer of null does not prove that
-- they are gone: the comparison of all ids finds that out.
insert into shopify.rereads as r (tenant_id, entity, source_id, is_visible, tried_at)
select
    %(tenant_id)s,
    %(entity)s,
    u.source_id,
    false,
    now()
from unnest(%(source_ids)s::text[]) as u (source_id)
on conflict (tenant_id, entity, source_id) do update set tried_at = excluded.tried_at
where r.tenant_id = %(tenant_id)s;

-- name: list_quarantined
-- The records of a tenant that could not be read, by kind, with the last one's id and reason.
select
    j.entity,
    count(*) as records,
    (array_agg(j.source_id order by j.rejected_at desc, j.source_id asc))[1] as last_id,
    (array_agg(j.reason order by j.rejected_at desc, j.source_id asc))[1] as reason
from shopify.rejected_rows as j
where j.tenant_id = %(tenant_id)s and j.entity <> 'csv_line'
group by j.entity
order by j.entity;
