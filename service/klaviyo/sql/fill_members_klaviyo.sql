-- Profiles of a list that is pulled, as last read, and whose customer each is, if anybody's.
insert into pg_temp.klaviyo_segment (config_id, customer_id, email)
select
    %(config_id)s,
    min(c.customer_id) as customer_id,
    p.email
from app.klaviyo_list_profiles as p
left join marts.customer_facts as c
    on c.tenant_id = %(tenant_id)s and lower(btrim(c.email)) = p.email
where p.tenant_id = %(tenant_id)s and p.list_id = %(segment)s
group by p.profile_id, p.email
