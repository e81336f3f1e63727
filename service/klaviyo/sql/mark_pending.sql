-- A batch is about to be added or removed: should we die now, the next sync looks on the list for
-- what became of it, and takes nothing that we left undone for a person's doing.
insert into app.klaviyo_ledger as l (tenant_id, config_id, email, customer_id, state)
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
    changed_at = excluded.changed_at
where l.tenant_id = %(tenant_id)s
