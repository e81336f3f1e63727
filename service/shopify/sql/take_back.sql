-- Forgets the rejections of records that have landed after all.
delete from shopify.rejected_rows
where
    tenant_id = %(tenant_id)s
    and entity = %(entity)s
    and source_id = any(%(source_ids)s)
