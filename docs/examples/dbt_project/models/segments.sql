-- Customers and revenue of each store by segment.
select
    tenant_id,
    segment,
    count(*) as customers,
    sum(monetary_total) as revenue
from {{ ref('quintile', 'customer_rfm_segments') }}
group by tenant_id, segment
