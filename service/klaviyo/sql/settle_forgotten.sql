-- Forgets the addresses of which there is nothing more to know.
delete from app.klaviyo_ledger as k
using pg_temp.klaviyo_plan as p
where
    k.tenant_id = %(tenant_id)s
    and k.config_id = %(config_id)s
    and k.email = p.email
    and p.next_state is null
