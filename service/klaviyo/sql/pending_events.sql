-- Some events of a configuration that have not been sent, those of a person together and in order.
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
order by c.email, c.is_backfill, c.occurred_at, c.event_id
