-- Profiles that were told something else when we last told them anything.
select
    f.email,
    null as customer_id,
    null as profile_id,
    f.properties::text as properties,
    f.properties_hash
from pg_temp.klaviyo_properties as f
inner join app.klaviyo_profiles as p on p.tenant_id = %(tenant_id)s and f.email = p.email
where p.properties_hash <> f.properties_hash
order by f.email
