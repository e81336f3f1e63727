-- Whether a configuration is to be synced still; no row when it has been given up. Until the end of
-- the transaction nobody gives it up, so that what is written about it stands.
select is_paused
from app.klaviyo_sync_configs
where tenant_id = %(tenant_id)s and config_id = %(config_id)s
for key share
