-- Writes a webhook down, once; no row when it has been received before.
insert into app.webhook_events (
    tenant_id, webhook_id, topic, kind, subject, notice, store_updated_at, triggered_at
)
values (
    %(tenant_id)s,
    %(webhook_id)s,
    %(topic)s,
    %(kind)s,
    %(subject)s,
    %(notice)s,
    %(store_updated_at)s,
    %(triggered_at)s
)
on conflict (tenant_id, webhook_id) do nothing
returning webhook_id
