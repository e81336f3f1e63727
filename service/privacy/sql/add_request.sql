-- A privacy request that an operator makes.
insert into app.webhook_events (tenant_id, webhook_id, topic, kind, subject, notice)
values (%(tenant_id)s, %(webhook_id)s, %(topic)s, %(kind)s, %(subject)s, %(notice)s)
