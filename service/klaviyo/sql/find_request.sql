-- Whether it has been said which configurations a run is to sync, and whether the clock started it.
select
    r.trigger = 'schedule' as is_scheduled,
    count(s.config_id) > 0 as has_rows
from app.runs as r
left join app.klaviyo_sync_runs as s
    on s.tenant_id = %(tenant_id)s and r.run_id = s.run_id
where r.tenant_id = %(tenant_id)s and r.run_id = %(run_id)s
group by r.trigger
