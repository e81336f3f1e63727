-- Privileges and policies of the job queue (procrastinate's tables in schema jobs). Every `quintile
-- migrate` runs this file as quintile_owner, after the queue's own schema.
--
-- The worker connects to the queue as quintile_transform. The service only defers jobs: it may add
-- jobs and see those of its tenant. Jobs have no tenant_id column, because procrastinate owns the
-- table, so the policy reads the tenant from the job's arguments.

grant usage on schema jobs to quintile_app, quintile_transform;

grant select, insert, update, delete on all tables in schema jobs to quintile_transform;
grant usage on all sequences in schema jobs to quintile_transform;

grant select, insert on jobs.procrastinate_jobs to quintile_app;
grant insert on jobs.procrastinate_events to quintile_app;
grant usage on sequence
jobs.procrastinate_jobs_id_seq,
jobs.procrastinate_events_id_seq
to quintile_app;

do $$
begin
    -- Take no lock if all policies are in place.
    if not exists (select from app.queue_findings) then
        return;
    end if;

    drop policy if exists tenant_isolation on jobs.procrastinate_jobs;
    create policy tenant_isolation on jobs.procrastinate_jobs for all to quintile_app
    using (
        args ->> 'tenant_id' = (select nullif(current_setting('app.tenant_id', true), ''))
    )
    with check (
        args ->> 'tenant_id' = (select nullif(current_setting('app.tenant_id', true), ''))
    );
    drop policy if exists all_tenants on jobs.procrastinate_jobs;
    create policy all_tenants on jobs.procrastinate_jobs
    for all to quintile_owner, quintile_transform
    using (true) with check (true);
    alter table jobs.procrastinate_jobs enable row level security;
    alter table jobs.procrastinate_jobs force row level security;

    -- A trigger adds an event for each new job. The event of a job that is not visible is rejected
    -- with the same error, whether the job exists or not.
    drop policy if exists tenant_isolation on jobs.procrastinate_events;
    create policy tenant_isolation on jobs.procrastinate_events for all to quintile_app
    using (exists (select from jobs.procrastinate_jobs as j where j.id = job_id))
    with check (exists (select from jobs.procrastinate_jobs as j where j.id = job_id));
    drop policy if exists all_tenants on jobs.procrastinate_events;
    create policy all_tenants on jobs.procrastinate_events
    for all to quintile_owner, quintile_transform
    using (true) with check (true);
    alter table jobs.procrastinate_events enable row level security;
    alter table jobs.procrastinate_events force row level security;
end
$$;
