-- Members of one of Shopify's own segments, as of the last sync.
insert into pg_temp.klaviyo_segment (config_id, customer_id, email)
select
    %(config_id)s,
    customer_id,
    email
from shopify.segment_members
where tenant_id = %(tenant_id)s and segment_id = %(segment)s
