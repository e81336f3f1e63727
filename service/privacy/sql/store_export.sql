-- Keeps the answer to a data request, sealed, for as long as it may be fetched.
insert into app.privacy_exports (
    tenant_id, subject, sealed_document, key_id, expires_at
)
values (
    %(tenant_id)s,
    %(subject)s,
    %(sealed_document)s,
    %(key_id)s,
    now() + make_interval(days => %(days)s)
)
returning export_id
