-- How far a request has been met, and whom it turned out to be about, so that it can be taken up.
update app.webhook_events
set notice = %(notice)s
where tenant_id = %(tenant_id)s and webhook_id = %(webhook_id)s and state = 'queued'
