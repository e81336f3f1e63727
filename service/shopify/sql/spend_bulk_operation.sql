-- Notes that nothing more is to be had of a bulk operation.
update shopify.bulk_operations
set is_spent = true
where tenant_id = %(tenant_id)s and resource = %(resource)s
