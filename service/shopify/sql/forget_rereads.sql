-- Forgets what has been asked for, in the transaction that lands the answers.
delete from shopify.rereads
where
    tenant_id = %(tenant_id)s
    and entity = %(entity)s
    and source_id = any(%(source_ids)s)
