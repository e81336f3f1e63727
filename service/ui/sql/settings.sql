-- name: list_audit_choices
-- The actors and the actions in the audit log, to choose from.
select
    'actor' as kind,
    actor as name
from app.audit_log
where tenant_id = %(tenant_id)s
group by actor

union all

select
    'action' as kind,
    action as name
from app.audit_log
where tenant_id = %(tenant_id)s
group by action

order by kind, name;
