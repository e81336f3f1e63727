-- Rights on the job queue (procrastinate's tables in schema jobs). Run as quintile_owner by every
-- `quintile migrate`, after the queue's own schema.
--
-- The worker's queue connection is quintile_transform. The service only defers: it may add jobs
-- and see those of its tenant. Jobs have no tenant_id column (the library owns the table), so the
-- policy reads the tenant from the job's arguments.

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
    -- Nothing is locked when all is in place.
    if (
        select count(*) = 2 from pg_policy
        where
            polrelid = 'jobs.procrastinate_jobs'::regclass
            and polname in ('tenant_isolation', 'all_tenants')
    ) then
        return;
    end if;
    drop policy if exists tenant_isolation on jobs.procrastinate_jobs;
    drop policy if exists all_tenants on jobs.procrastinate_jobs;
    create policy tenant_isolation on jobs.procrastinate_jobs for all to quintile_app
    using (
        args ->> 'tenant_id' = (select nullif(current_setting('app.tenant_id', true), ''))
    )
    with check (
        args ->> 'tenant_id' = (select nullif(current_setting('app.tenant_id', true), ''))
    );
    create policy all_tenants on jobs.procrastinate_jobs for all to quintile_transform
    using (true) with check (true);
    alter table jobs.procrastinate_jobs enable row level security;
end
$$;
