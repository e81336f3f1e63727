-- How many members of the configuration's segment can be written to.
select count(*) as members
from pg_temp.klaviyo_members
where config_id = %(config_id)s and reason is null
