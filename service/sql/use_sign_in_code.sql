-- Spend a sign-in code: only the first of two racing requests gets the row.
update app.sign_in_codes
set used_at = now()
where
    tenant_id = %(tenant_id)s
    and code_hash = %(code_hash)s
    and used_at is null
    and expires_at > now()
returning tenant_id
