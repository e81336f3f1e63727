-- Klaviyo did not take these, for the reason it gave.
update app.klaviyo_ledger as l
set
    state = 'rejected',
    error_code = r.code,
    error_detail = r.detail,
    changed_at = now()
from jsonb_to_recordset(%(refusals)s) as r (email text, code text, detail text)
where
    l.tenant_id = %(tenant_id)s
    and l.config_id = %(config_id)s
    and l.email = r.email
