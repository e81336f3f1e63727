-- Keeps a webhook that was not understood, with its body and the reason, once.
insert into app.webhook_events (
    tenant_id, webhook_id, topic, payload, triggered_at, state, reason, advice, finished_at
)
values (
    %(tenant_id)s,
    %(webhook_id)s,
    %(topic)s,
    %(payload)s,
    %(triggered_at)s,
    'set_aside',
    %(reason)s,
    'A newer release may understand it: quintile webhooks retry. What it was about comes with the'
    ' next sync.',
    now()
)
on conflict (tenant_id, webhook_id) do nothing
returning webhook_id
