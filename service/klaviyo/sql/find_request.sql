-- Whether it has been said which configurations a run is to sync, whether the run only plans,
-- whether the clock started it, and whether a command did, which says nothing when it means all.
select
    r.kind = 'klaviyo_plan' as is_dry_run,
    r.trigger = 'schedule' as is_scheduled,
    r.trigger = 'cli' as means_all,
    count(s.config_id) > 0 as has_rows
from app.runs as r
left join app.klaviyo_sync_runs as s
    on s.tenant_id = %(tenant_id)s and r.run_id = s.run_id
where r.tenant_id = %(tenant_id)s and r.run_id = %(run_id)s
group by r.kind, r.trigger
