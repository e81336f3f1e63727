-- Forgets the rejections of orders that a bulk operation has brought after all.
delete from shopify.rejected_rows as j
where
    j.tenant_id = %(tenant_id)s
    and j.entity = 'order'
    and exists (
        select from pg_temp.bulk_orders as r
        where r.order_id = j.source_id
    )
    and not exists (
        select from pg_temp.bulk_rejections as r
        where r.source_id = j.source_id
    )
