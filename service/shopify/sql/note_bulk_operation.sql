-- Notes a bulk operation that has just been started, so that a restart goes on with it.
insert into shopify.bulk_operations as b (
    tenant_id, resource, operation_id, query_hash, began_at, attempt
)
values (
    %(tenant_id)s, %(resource)s, %(operation_id)s, %(query_hash)s, %(began_at)s, %(attempt)s
)
on conflict (tenant_id, resource) do update set
    operation_id = excluded.operation_id,
    query_hash = excluded.query_hash,
    began_at = excluded.began_at,
    noted_at = excluded.noted_at,
    attempt = excluded.attempt,
    is_spent = false
where b.tenant_id = %(tenant_id)s
returning operation_id, query_hash, began_at, noted_at, attempt, is_spent
