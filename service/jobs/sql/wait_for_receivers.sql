-- Waits for all transactions that have found the tenant's job waiting and not ended yet.
select pg_advisory_xact_lock(hashtextextended('quintile webhooks ' || %(tenant_id)s, 0))
