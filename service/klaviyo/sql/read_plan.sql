-- What one action of the plan is to be done to, always in the same order.
select
    email,
    customer_id,
    profile_id
from pg_temp.klaviyo_plan
where action = %(action)s
order by email
