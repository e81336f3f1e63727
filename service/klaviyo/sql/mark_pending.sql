-- A batch is about to be added: should we die now, the next sync looks on the list for what became
-- of it.
insert into app.klaviyo_ledger as k (tenant_id, config_id, email, customer_id, state)
select
    %(tenant_id)s,
    %(config_id)s,
    a.email,
    a.customer_id,
    'pending'
from unnest(%(emails)s::text[], %(customer_ids)s::text[]) as a (email, customer_id)
on conflict (tenant_id, config_id, email) do update set
    customer_id = excluded.customer_id,
    state = excluded.state,
    error_code = null,
    error_detail = null,
    refused_hash = null,
    changed_at = excluded.changed_at
where k.tenant_id = %(tenant_id)s
