-- name: record_change
-- Add an entry to the audit log.
insert into app.audit_log (
    tenant_id, actor, actor_kind, credential_id, action, subject, before, after
)
values (
    %(tenant_id)s,
    %(actor)s,
    %(kind)s,
    %(credential_id)s,
    %(action)s,
    %(subject)s,
    %(before)s,
    %(after)s
);

-- name: list_changes
-- A page of the audit log, newest first, with one extra row.
select
    entry_id,
    made_at,
    actor,
    actor_kind,
    credential_id,
    action,
    subject,
    before,
    after
from app.audit_log
where
    tenant_id = %(tenant_id)s
    and (%(actor)s::text is null or actor = %(actor)s)
    and (%(action)s::text is null or action = %(action)s)
    and (%(since)s::timestamptz is null or made_at >= %(since)s)
    and (
        %(after_made_at)s::timestamptz is null
        or made_at < %(after_made_at)s
        or (made_at = %(after_made_at)s and entry_id > %(after_entry_id)s)
    )
order by made_at desc, entry_id asc
limit %(row_limit)s;

-- name: export_changes
-- All entries of the audit log that a filter lets through, newest first, with values as JSON text.
select
    entry_id,
    made_at,
    actor,
    actor_kind,
    credential_id,
    action,
    subject,
    before::text as before,
    after::text as after
from app.audit_log
where
    tenant_id = %(tenant_id)s
    and (%(actor)s::text is null or actor = %(actor)s)
    and (%(action)s::text is null or action = %(action)s)
    and (%(since)s::timestamptz is null or made_at >= %(since)s)
order by made_at desc, entry_id asc;
