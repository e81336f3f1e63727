-- Members of an RFM segment, as of the last build.
insert into pg_temp.klaviyo_segment (config_id, customer_id, email)
select
    %(config_id)s,
    customer_id,
    email
from marts.customer_rfm_segments
where tenant_id = %(tenant_id)s and segment = %(segment)s
