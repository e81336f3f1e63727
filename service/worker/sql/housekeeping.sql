-- name: list_lost_events
-- Webhooks that have been due for a while and have no job, as after an interrupted command. A
-- privacy request has a job of its own; the others share one.
select
    e.webhook_id,
    e.kind
from app.webhook_events as e
where
    e.tenant_id = %(tenant_id)s
    and e.state = 'queued'
    and e.due_at < now() - interval '10 minutes'
    and not exists (
        select from jobs.procrastinate_jobs as j
        where
            j.args ->> 'tenant_id' = e.tenant_id::text
            and j.status in ('todo', 'doing')
            and case
                when e.kind = any(%(privacy_kinds)s)
                    then
                        j.task_name = 'quintile.privacy'
                        and j.args ->> 'webhook_id' = e.webhook_id
                else j.task_name = 'quintile.webhooks'
            end
    );

-- name: purge_webhooks
-- Delete webhooks that ended long ago. Privacy requests that were not fulfilled stay; those that
-- were not understood have no kind.
delete from app.webhook_events
where
    tenant_id = %(tenant_id)s
    and state <> 'queued'
    and finished_at < now() - make_interval(days => %(days)s)
    and (
        state = 'done'
        or (
            topic <> all(%(privacy_topics)s)
            and (kind is null or kind <> all(%(privacy_kinds)s))
        )
    );

-- name: purge_jobs
-- Delete jobs that ended long ago, of all tenants. Run as quintile_transform.
delete from jobs.procrastinate_jobs as j
where
    j.status in ('succeeded', 'failed', 'cancelled', 'aborted')
    and not exists (
        select from jobs.procrastinate_events as e
        where e.job_id = j.id and e.at >= now() - make_interval(days => %(days)s)
    );

-- name: purge_exports
-- Delete expired exports of data requests.
delete from app.privacy_exports
where tenant_id = %(tenant_id)s and expires_at < now();

-- name: purge_klaviyo_events
-- Delete Klaviyo events that were sent or refused long ago.
delete from app.klaviyo_events
where
    tenant_id = %(tenant_id)s
    and state <> 'pending'
    and coalesce(sent_at, occurred_at) < now() - make_interval(days => %(days)s);
