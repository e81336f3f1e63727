-- Tells workers to look for jobs again, in the queue's own words, if any is due.
select pg_notify('procrastinate_any_queue_v1', '{"type": "job_inserted", "job_id": 0}')
where
    exists (
        select from jobs.procrastinate_jobs as j
        where j.status = 'todo' and (j.scheduled_at is null or j.scheduled_at <= now())
    )
