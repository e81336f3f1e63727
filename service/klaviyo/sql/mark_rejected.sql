-- Klaviyo did not take these, for the reason it gave. Who was to come onto the list is rejected
-- until something else would be sent; who is on it already stays what they are.
update app.klaviyo_ledger as k
set
    state = case when r.is_new then 'rejected' else k.state end,
    refused_hash = case when r.is_new then r.properties_hash end,
    error_code = r.code,
    error_detail = r.detail,
    changed_at = case when r.is_new then now() else k.changed_at end
from
    jsonb_to_recordset(%(refusals)s) as r (
        email text, code text, detail text, properties_hash text, is_new boolean
    )
where
    k.tenant_id = %(tenant_id)s
    and k.config_id = %(config_id)s
    and k.email = r.email
