-- name: count_unfinished_runs
-- Queued and running runs, by kind. Read as quintile_transform.
select
    r.kind,
    r.state,
    count(*) as runs
from app.runs as r
where r.state in ('queued', 'running')
group by r.kind, r.state
order by r.kind, r.state;

-- name: count_webhooks
-- Outgoing webhooks that wait, and enabled endpoints that fail. Read as quintile_transform.
select
    (
        select count(*)
        from app.webhook_deliveries as d
        where d.state = 'pending'
    ) as pending,
    (
        select count(*)
        from app.webhook_endpoints as e
        where e.is_enabled and e.failing_since is not null
    ) as failing;

-- name: is_quality_built
-- Whether dbt has built the table with the tenants' sizes.
select to_regclass('marts.rfm_data_quality') is not null as is_built;

-- name: queue_depth
-- Due and running jobs of each queue, and how long the oldest due one has waited. Postponed jobs
-- are not due before their time. Read as quintile_transform.
select
    j.queue_name,
    count(*) filter (where j.status = 'todo') as waiting,
    count(*) filter (where j.status = 'doing') as doing,
    coalesce(
        max(extract(epoch from now() - coalesce(j.scheduled_at, e.deferred_at)))
        filter (where j.status = 'todo'),
        0
    )::float8 as oldest_seconds
from jobs.procrastinate_jobs as j
left join lateral (
    select max(e.at) as deferred_at
    from jobs.procrastinate_events as e
    where e.job_id = j.id and e.type in ('deferred', 'deferred_for_retry')
) as e on true
where
    j.status in ('todo', 'doing')
    and (j.status = 'doing' or j.scheduled_at is null or j.scheduled_at <= now())
group by j.queue_name
order by j.queue_name;

-- name: rows_written
-- Rows written by anyone since PostgreSQL's statistics were reset, by schema.
select
    s.schemaname::text as schema,
    sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del)::bigint as rows
from pg_catalog.pg_stat_user_tables as s
where s.schemaname in ('shopify', 'app', 'marts')
group by s.schemaname
order by s.schemaname;

-- name: tenant_sizes
-- The size of every tenant, by its customers in the RFM window. Read as quintile_transform.
select
    t.tenant_id,
    case
        when q.customers is null then 'unbuilt'
        when q.customers < 1000 then 'small'
        when q.customers < 50000 then 'medium'
        else 'large'
    end as size
from app.tenants as t
left join marts.rfm_data_quality as q on t.tenant_id = q.tenant_id;

-- name: tenant_sizes_unbuilt
-- The size of every tenant before the first build. Read as quintile_transform.
select
    t.tenant_id,
    'unbuilt' as size
from app.tenants as t;
