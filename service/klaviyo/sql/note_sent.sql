-- What Klaviyo was last told about these profiles, so that only what differs is sent again.
insert into app.klaviyo_profiles as p (tenant_id, email, properties_hash)
select
    %(tenant_id)s,
    s.email,
    s.properties_hash
from unnest(%(emails)s::text[], %(properties_hashes)s::text[]) as s (email, properties_hash)
on conflict (tenant_id, email) do update set
    properties_hash = excluded.properties_hash,
    sent_at = excluded.sent_at
where p.tenant_id = %(tenant_id)s
