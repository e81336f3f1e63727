-- Deletes answers to data requests that have expired.
delete from app.privacy_exports
where tenant_id = %(tenant_id)s and expires_at < now()
