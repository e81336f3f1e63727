-- A list is kept in step no longer; what the ledger holds of it goes with it.
delete from app.klaviyo_sync_configs
where tenant_id = %(tenant_id)s and config_id = %(config_id)s
