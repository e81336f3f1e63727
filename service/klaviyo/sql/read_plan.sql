-- What one action of the plan is to be done to, always in the same order.
select
    p.email,
    p.customer_id,
    p.profile_id,
    f.properties::text as properties,
    f.properties_hash
from pg_temp.klaviyo_plan as p
left join pg_temp.klaviyo_properties as f on p.email = f.email
where p.action = %(action)s
order by p.email
