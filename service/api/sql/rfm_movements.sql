-- How many customers moved from which segment to which between two recorded days.
select
    from_segment,
    to_segment,
    customers
from marts.rfm_segment_movements
where
    tenant_id = %(tenant_id)s
    and from_on = %(from_on)s
    and to_on = %(to_on)s
order by from_segment, to_segment
