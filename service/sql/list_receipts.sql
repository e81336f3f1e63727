-- Receipts of privacy requests, of one tenant or of all, erased ones included. Read as
-- quintile_owner.
select
    r.tenant_id,
    t.name,
    r.kind,
    r.webhook_id,
    r.requested_at,
    r.completed_at,
    r.counts
from app.privacy_receipts as r
left join app.tenants as t on r.tenant_id = t.tenant_id
where %(tenant_id)s::uuid is null or r.tenant_id = %(tenant_id)s
order by r.completed_at, r.receipt_id
