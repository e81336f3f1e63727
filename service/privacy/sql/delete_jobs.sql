-- A tenant's jobs, but for those that are being done: they end by themselves. Run as
-- quintile_transform.
delete from jobs.procrastinate_jobs
where args ->> 'tenant_id' = %(tenant_id)s and status <> 'doing'
