-- A segment feeds a list no longer; what the ledger holds of the list goes with it.
delete from app.klaviyo_sync_configs
where
    tenant_id = %(tenant_id)s
    and segment_key = %(segment_key)s
    and list_id = %(list_id)s
returning list_name
