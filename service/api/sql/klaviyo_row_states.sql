-- How many addresses of a configuration are in each state.
select
    state,
    count(*) as addresses
from app.klaviyo_ledger
where tenant_id = %(tenant_id)s and config_id = %(config_id)s
group by state
