-- A model of the analyst's own on one of Quintile's marts.
select
    tenant_id,
    segment,
    count(*) as customer_count
from {{ ref('quintile', 'customer_rfm_segments') }}
group by tenant_id, segment
