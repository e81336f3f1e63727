-- That a request was met: when, how far, and nothing about whom it was.
insert into app.privacy_receipts (
    tenant_id, kind, webhook_id, subject, counts, requested_at
)
values (
    %(tenant_id)s, %(kind)s, %(webhook_id)s, %(subject)s, %(counts)s, %(requested_at)s
)
