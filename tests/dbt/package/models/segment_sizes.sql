-- A model of the installing project that reads a Quintile mart.
select
    tenant_id,
    segment,
    count(*) as customer_count
from {{ ref('quintile', 'customer_rfm_segments') }}
group by tenant_id, segment
