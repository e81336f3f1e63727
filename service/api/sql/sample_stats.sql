-- Sample orders by type and status. An order of both types counts in both, and once in all.
select
    t.type,
    count(s.order_id) as total,
    count(s.order_id) filter (where s.status = 'pending') as pending,
    count(s.order_id) filter (where s.status = 'partial') as partial,
    count(s.order_id) filter (where s.status = 'fulfilled') as fulfilled,
    count(s.order_id) filter (where s.status = 'cancelled') as cancelled
from (values (1, 'all'), (2, 'ugc'), (3, 'tiktok')) as t (position, type)
left join marts.sample_orders as s
    on
        s.tenant_id = %(tenant_id)s
        and (
            t.type = 'all'
            or (t.type = 'ugc' and s.is_ugc)
            or (t.type = 'tiktok' and s.is_tiktok)
        )
group by t.position, t.type
order by t.position
