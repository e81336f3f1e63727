-- What a webhook that was not understood at first is about; its body is not needed any more.
update app.webhook_events
set
    kind = %(kind)s,
    subject = %(subject)s,
    notice = %(notice)s,
    payload = null,
    store_updated_at = %(store_updated_at)s
where tenant_id = %(tenant_id)s and webhook_id = %(webhook_id)s
