-- Klaviyo did not take these events, for the reason it gave.
update app.klaviyo_events as e
set
    state = 'rejected',
    error_code = r.code,
    error_detail = r.detail
from jsonb_to_recordset(%(refusals)s) as r (event_id uuid, code text, detail text)
where
    e.tenant_id = %(tenant_id)s
    and e.event_id = r.event_id
    and e.state = 'pending'
