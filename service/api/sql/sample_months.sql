-- Samples by month and type, the newest month first.
select
    ordered_month as month,
    sample_type as type,
    samples as total,
    pending,
    partly_fulfilled as partial,
    fulfilled,
    cancelled,
    goods_value,
    currency
from marts.sample_stats_by_month
where tenant_id = %(tenant_id)s
order by ordered_month desc, sample_type asc
limit 3 * %(months)s
