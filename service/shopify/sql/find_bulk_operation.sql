-- The bulk operation of a resource that has not landed yet.
select
    operation_id,
    query_hash,
    began_at,
    noted_at,
    attempt,
    is_spent
from shopify.bulk_operations
where tenant_id = %(tenant_id)s and resource = %(resource)s
