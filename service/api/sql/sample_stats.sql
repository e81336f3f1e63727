-- Samples by type as of the last build; zeros before the first.
select
    t.type,
    coalesce(s.samples, 0) as total,
    coalesce(s.pending, 0) as pending,
    coalesce(s.partly_fulfilled, 0) as partial,
    coalesce(s.fulfilled, 0) as fulfilled,
    coalesce(s.cancelled, 0) as cancelled,
    s.goods_value,
    s.currency,
    s.median_days_to_fulfil,
    coalesce(s.last_30_days, 0) as last_30_days,
    coalesce(s.previous_30_days, 0) as previous_30_days,
    s.calculated_at
from (values (1, 'all'), (2, 'ugc'), (3, 'tiktok')) as t (position, type)
left join marts.sample_stats as s on s.tenant_id = %(tenant_id)s and t.type = s.sample_type
order by t.position
