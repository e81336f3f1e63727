-- Forgets the members of a segment that could not be read before, when this reading can.
delete from shopify.rejected_rows
where
    tenant_id = %(tenant_id)s
    and entity = 'segment_member'
    and starts_with(source_id, %(segment_id)s || '/')
    and source_id <> all(%(source_ids)s)
