-- One change to a tenant's configurations at a time, until the end of the transaction.
select pg_advisory_xact_lock(hashtextextended('klaviyo configs ' || %(tenant_id)s::text, 0))
