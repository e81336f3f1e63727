-- Deletes what dbt built for a tenant, and writes the receipt of its erasure. Run as
-- quintile_transform, before the tenant itself goes.
insert into app.privacy_receipts (tenant_id, kind, webhook_id, counts, requested_at)
select
    t.tenant_id,
    'shop_redact',
    %(webhook_id)s,
    app.erase_built_rows_of_tenant(t.tenant_id) || jsonb_build_object(
        'shopify.orders',
        (select count(*) from shopify.orders as o where o.tenant_id = %(tenant_id)s),
        'shopify.customers',
        (select count(*) from shopify.customers as c where c.tenant_id = %(tenant_id)s)
    ),
    %(requested_at)s
from app.tenants as t
where t.tenant_id = %(tenant_id)s
