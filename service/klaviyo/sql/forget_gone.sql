-- Addresses that are neither in the segment nor on the list leave the ledger.
delete from app.klaviyo_ledger as l
using pg_temp.klaviyo_plan as p
where
    l.tenant_id = %(tenant_id)s
    and l.config_id = %(config_id)s
    and l.email = p.email
    and p.action = 'forget'
