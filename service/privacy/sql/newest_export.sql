-- The export that was made last.
select export_id
from app.privacy_exports
where tenant_id = %(tenant_id)s
order by created_at desc
limit 1
