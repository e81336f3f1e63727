-- name: insert_notifications
-- Store notifications of a run: one for each configuration that began to fail or works again. Its
-- known state is that of its newest notification. There is none without a hook, nor for a
-- configuration that a person paused.
insert into app.notifications (tenant_id, topic, config_id, run_id)
with known as (
    select distinct on (n.config_id)
        n.config_id,
        n.topic
    from app.notifications as n
    where n.tenant_id = %(tenant_id)s and n.config_id is not null
    order by n.config_id asc, n.created_at desc, n.notification_id asc
),

outcomes as (
    select
        r.config_id,
        case
            when r.state = 'paused' and c.paused_by = 'person' then null
            when r.state in ('failed', 'stopped', 'paused') then 'klaviyo_sync.failed'
            when r.state = 'succeeded' then 'klaviyo_sync.recovered'
        end as topic
    from app.klaviyo_sync_runs as r
    inner join app.klaviyo_sync_configs as c
        on c.tenant_id = %(tenant_id)s and r.config_id = c.config_id
    where r.tenant_id = %(tenant_id)s and r.run_id = %(run_id)s and not r.is_dry_run
)

select
    h.tenant_id,
    o.topic,
    o.config_id,
    %(run_id)s
from app.notification_hooks as h
cross join outcomes as o
left join known as k on o.config_id = k.config_id
where
    h.tenant_id = %(tenant_id)s
    and o.topic <> coalesce(k.topic, 'klaviyo_sync.recovered')
returning notification_id;

-- name: insert_test
-- Store a test notification.
insert into app.notifications (tenant_id, topic)
values (%(tenant_id)s, 'test')
returning notification_id;

-- name: find_notification
-- A notification with the current row of its configuration's run.
select
    n.notification_id,
    n.topic,
    n.config_id,
    n.run_id,
    n.state,
    n.attempts,
    n.error,
    n.created_at,
    n.finished_at,
    t.name as tenant,
    r.segment_key,
    r.list_id,
    r.list_name,
    r.direction,
    r.state as run_state,
    r.stopped_for,
    r.error as run_error,
    r.advice,
    r.counts,
    r.finished_at as run_finished_at
from app.notifications as n
inner join app.tenants as t on n.tenant_id = t.tenant_id
left join app.klaviyo_sync_runs as r
    on n.tenant_id = r.tenant_id and n.run_id = r.run_id and n.config_id = r.config_id
where n.tenant_id = %(tenant_id)s and n.notification_id = %(notification_id)s;

-- name: record_attempt
-- Record the result of an attempt to send a notification.
update app.notifications
set
    state = %(state)s,
    attempts = attempts + 1,
    error = %(error)s,
    finished_at = case when %(state)s <> 'pending' then now() end
where
    tenant_id = %(tenant_id)s
    and notification_id = %(notification_id)s
    and state = 'pending';

-- name: purge_notifications
-- Delete old notifications; each configuration keeps its newest, which holds its known state.
delete from app.notifications as n
where
    n.tenant_id = %(tenant_id)s
    and n.state <> 'pending'
    and n.finished_at < now() - make_interval(days => %(days)s)
    and (
        n.config_id is null
        or exists (
            select from app.notifications as newer
            where
                newer.tenant_id = %(tenant_id)s
                and newer.config_id = n.config_id
                and newer.created_at > n.created_at
        )
    );
