-- name: list_pending_events
-- Some pending events of a configuration, those of a person together and in order.
with chosen as (
    select
        e.event_id,
        e.email,
        e.metric,
        e.properties,
        e.is_backfill,
        e.occurred_at
    from app.klaviyo_events as e
    where
        e.tenant_id = %(tenant_id)s
        and e.config_id = %(config_id)s
        and e.state = 'pending'
    order by e.event_id
    limit %(most)s
)

select
    c.event_id,
    c.email,
    c.metric,
    c.properties,
    c.is_backfill,
    c.occurred_at
from chosen as c
order by c.email, c.is_backfill, c.occurred_at, c.event_id;

-- name: mark_events_sent
-- The destination accepted these events.
update app.klaviyo_events
set state = 'sent', sent_at = now()
where tenant_id = %(tenant_id)s and event_id = any(%(event_ids)s) and state = 'pending';

-- name: mark_events_rejected
-- The destination refused these events, with its reason.
update app.klaviyo_events as e
set
    state = 'rejected',
    error_code = r.code,
    error_detail = r.detail
from jsonb_to_recordset(%(refusals)s) as r (event_id uuid, code text, detail text)
where
    e.tenant_id = %(tenant_id)s
    and e.event_id = r.event_id
    and e.state = 'pending';

-- name: delete_events
-- Deletes a configuration's pending events.
delete from app.klaviyo_events
where
    tenant_id = %(tenant_id)s
    and config_id = %(config_id)s
    and state = 'pending';
