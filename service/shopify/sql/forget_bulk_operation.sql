-- Forgets a bulk operation, in the transaction that has landed what it was for.
delete from shopify.bulk_operations
where tenant_id = %(tenant_id)s and resource = %(resource)s
