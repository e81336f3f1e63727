-- From here to the end of this transaction no job of the tenant looks for its webhooks. A statement
-- of its own, for the next one has to see what was committed while this one waited.
select pg_advisory_xact_lock_shared(hashtextextended('quintile webhooks ' || %(tenant_id)s, 0))
