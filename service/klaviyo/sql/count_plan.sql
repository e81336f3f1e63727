-- How many addresses each action befalls, and how many members cannot be written to.
select
    action,
    count(*) as addresses
from pg_temp.klaviyo_plan
group by action

union all

select
    'unaddressable' as action,
    (select count(*) from pg_temp.klaviyo_members)
    - (select count(*) from pg_temp.klaviyo_local) as addresses
