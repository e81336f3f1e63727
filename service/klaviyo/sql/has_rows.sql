-- Whether it has been said which configurations a run is to sync.
select count(*) > 0 as has_rows
from app.klaviyo_sync_runs
where tenant_id = %(tenant_id)s and run_id = %(run_id)s
