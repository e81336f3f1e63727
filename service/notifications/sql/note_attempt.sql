-- How an attempt to send a notification went.
update app.notifications
set
    state = %(state)s,
    attempts = attempts + 1,
    error = %(error)s,
    finished_at = case when %(state)s <> 'pending' then now() end
where
    tenant_id = %(tenant_id)s
    and notification_id = %(notification_id)s
    and state = 'pending'
