-- Deletes the jobs of scheduled builds that another job has done. Run as quintile_transform.
delete from jobs.procrastinate_jobs as j
using app.runs as r
where
    j.task_name = 'quintile.build_due'
    and j.status = 'todo'
    and j.args ->> 'tenant_id' = any(%(tenant_ids)s)
    and r.tenant_id::text = j.args ->> 'tenant_id'
    and r.run_id::text = j.args ->> 'run_id'
    and r.state in ('succeeded', 'failed')
