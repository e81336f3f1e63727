-- Runs are counted, kept for a time (QUINTILE_RUN_DAYS), and may be a webhook's doing.

alter table app.runs add column attempts int not null default 0;

comment on column app.runs.attempts is 'How often a process has begun it.';

alter table app.runs drop constraint runs_trigger_check;

alter table app.runs add constraint runs_trigger_check check (
    trigger in ('schedule', 'person', 'cli', 'webhook')
);

-- Who was last served when, asked at every look at the metrics, is one step into this index for
-- each tenant and kind.
create index runs_latest_idx on app.runs (tenant_id, kind, finished_at desc)
where state = 'succeeded';

grant delete on app.runs to quintile_app;

-- Since when a connection is expected to be synced, which the worker's metrics measure.
grant select (connected_at) on app.connections to quintile_transform;
