-- Deletes jobs that ended long ago, of all tenants. Run as quintile_transform.
delete from jobs.procrastinate_jobs as j
where
    j.status in ('succeeded', 'failed', 'cancelled', 'aborted')
    and not exists (
        select from jobs.procrastinate_events as e
        where e.job_id = j.id and e.at >= now() - make_interval(days => %(days)s)
    )
