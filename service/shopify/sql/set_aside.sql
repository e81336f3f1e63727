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
    and (j.reason, j.payload) is distinct from (excluded.reason, excluded.payload)
