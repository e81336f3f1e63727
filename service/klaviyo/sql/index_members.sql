-- The planner has to know how many members there are, and each address is there once.
create unique index on pg_temp.klaviyo_members (config_id, email) where reason is null
