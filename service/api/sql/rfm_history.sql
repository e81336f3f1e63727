-- Sizes of the segments on each recorded day of a span, in order.
select
    h.recorded_on,
    h.as_of,
    h.currency,
    jsonb_agg(
        jsonb_build_object(
            'segment', h.segment, 'customers', h.customers, 'revenue', h.revenue::text
        )
        order by s.priority
    ) as sizes
from marts.rfm_segment_history as h
inner join marts.rfm_segments as s on h.segment = s.segment
where
    h.tenant_id = %(tenant_id)s
    and h.recorded_on between %(from_on)s and %(to_on)s
group by h.tenant_id, h.recorded_on, h.as_of, h.currency
order by h.recorded_on
