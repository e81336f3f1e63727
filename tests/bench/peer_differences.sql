-- Customers whose figures or scores are not those of the build, or that one of the two lacks.
with ours as (
    select * from marts.customer_facts
    where segment is not null
)

select
    count(*) as compared,
    count(*) filter (
        where
            (
                p.last_order_at, p.frequency_count, p.monetary_minor, p.r_score, p.f_score, p.m_score
            ) is distinct from (
                o.last_order_at at time zone 'UTC', o.window_order_count, o.window_minor,
                o.r_score, o.f_score, o.m_score
            )
    ) as differing
from marts.peer_rfm as p
full join ours as o on p.tenant_id = o.tenant_id and p.customer_id = o.customer_id
