-- What has to be the same whatever the layout: customers and their amounts by tenant and segment.
select
    tenant_id,
    segment,
    count(*) as customers,
    sum(window_order_count) as orders,
    sum(window_minor) as minor,
    sum(lifetime_minor) as lifetime_minor,
    sum(r_score + f_score + m_score) as scores
from {marts}.customer_facts
group by tenant_id, segment
order by tenant_id, segment
