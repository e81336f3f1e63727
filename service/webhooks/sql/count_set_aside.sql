-- How many webhooks of which topic lie aside for each tenant. Read as quintile_owner.
select
    t.name,
    e.topic,
    count(*) as webhooks,
    bool_or(e.topic like '%%/redact' or e.topic like '%%/data_request') as is_privacy,
    (array_agg(e.reason order by e.finished_at desc))[1] as reason
from app.tenants as t
inner join app.webhook_events as e on t.tenant_id = e.tenant_id
where e.state = 'set_aside'
group by t.name, e.topic
order by t.name, e.topic
