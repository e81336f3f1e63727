-- A page of receipts, newest first, and one row more.
select
    receipt_id,
    kind,
    webhook_id,
    counts,
    requested_at,
    completed_at
from app.privacy_receipts
where
    tenant_id = %(tenant_id)s
    and (
        %(after_at)s::timestamptz is null
        or (completed_at, receipt_id) < (%(after_at)s, %(after_id)s)
    )
order by completed_at desc, receipt_id desc
limit %(row_limit)s
