-- Keeps what could not be read of a bulk operation, with the reason.
with kept as (
    insert into shopify.rejected_rows as j (tenant_id, entity, source_id, reason, payload)
    select distinct on (r.source_id)
        %(tenant_id)s,
        %(entity)s,
        r.source_id,
        r.reason,
        r.payload
    from pg_temp.bulk_rejections as r
    order by r.source_id asc, r.reason asc
    on conflict (tenant_id, entity, source_id) do update set
        reason = excluded.reason,
        payload = excluded.payload,
        rejected_at = excluded.rejected_at
    where
        j.tenant_id = %(tenant_id)s
        and (j.reason, j.payload) is distinct from (excluded.reason, excluded.payload)
    returning 1
)

select
    (select count(distinct r.source_id) from pg_temp.bulk_rejections as r) as rejected,
    (select count(*) from kept) as kept
