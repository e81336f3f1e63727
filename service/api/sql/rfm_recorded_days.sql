-- The first and the last recorded day, and those that stand for two dates: the newest at or before
-- each. Without a date, to is the last day, and from is so many days before to, or the first day.
with

days as (
    select distinct recorded_on
    from marts.rfm_segment_history
    where tenant_id = %(tenant_id)s
),

spans as (
    select
        min(recorded_on) as first_on,
        max(recorded_on) as last_on,
        max(recorded_on) filter (
            where recorded_on <= coalesce(%(to_date)s::date, 'infinity'::date)
        ) as to_on
    from days
),

starts as (
    select max(d.recorded_on) as from_on
    from days as d
    cross join spans as s
    where d.recorded_on <= coalesce(%(from_date)s::date, s.to_on - %(days_back)s::int)
)

select
    s.first_on,
    s.last_on,
    coalesce(t.from_on, case when %(from_date)s::date is null then s.first_on end) as from_on,
    s.to_on
from spans as s
cross join starts as t
