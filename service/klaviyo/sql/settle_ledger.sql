-- Brings the ledger to what the plan says; what is to be sent is pending until Klaviyo has it.
insert into app.klaviyo_ledger as k (
    tenant_id, config_id, email, customer_id, profile_id, state, is_member
)
select
    %(tenant_id)s,
    %(config_id)s,
    p.email,
    p.customer_id,
    p.profile_id,
    p.next_state,
    p.is_member
from pg_temp.klaviyo_plan as p
where p.next_state is not null
on conflict (tenant_id, config_id, email) do update set
    customer_id = excluded.customer_id,
    profile_id = excluded.profile_id,
    state = excluded.state,
    is_member = excluded.is_member,
    error_code = case k.state when excluded.state then k.error_code end,
    error_detail = case k.state when excluded.state then k.error_detail end,
    refused_hash = case k.state when excluded.state then k.refused_hash end,
    changed_at = case k.state when excluded.state then k.changed_at else now() end
where k.tenant_id = %(tenant_id)s
