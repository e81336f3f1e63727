"""The job queue: run records, retries, schedules and what puts a job into procrastinate."""
