-- Counts one call in both windows of an operation, and answers its number in each; when a window is
-- full or shut it counts nothing and answers the wait. A window lasts a margin longer than
-- Klaviyo's, which opens only when the call arrives there.
with present as (
    select clock_timestamp() as moment
),

counted as (
    select
        w.shut_until,
        w.burst_ends_at,
        w.steady_ends_at,
        p.moment,
        case when w.burst_ends_at > p.moment then w.burst_used else 0 end as burst_used,
        case when w.steady_ends_at > p.moment then w.steady_used else 0 end as steady_used,
        w.burst_limit,
        w.steady_limit
    from app.klaviyo_windows as w
    cross join present as p
    where w.account_hash = %(account_hash)s and w.operation = %(operation)s
    for update of w
),

decided as (
    select
        c.moment,
        c.burst_used,
        c.burst_ends_at,
        c.steady_used,
        c.steady_ends_at,
        greatest(
            extract(epoch from c.shut_until - c.moment),
            case
                when c.burst_used >= c.burst_limit
                    then extract(epoch from c.burst_ends_at - c.moment)
            end,
            case
                when c.steady_used >= c.steady_limit
                    then extract(epoch from c.steady_ends_at - c.moment)
            end,
            0
        ) as wait_seconds
    from counted as c
)

update app.klaviyo_windows as w
set
    burst_used = d.burst_used + (d.wait_seconds = 0)::integer,
    burst_ends_at = case
        when d.burst_used > 0 or d.wait_seconds > 0 then d.burst_ends_at
        else d.moment + make_interval(secs => %(burst_seconds)s + %(margin)s)
    end,
    steady_used = d.steady_used + (d.wait_seconds = 0)::integer,
    steady_ends_at = case
        when d.steady_used > 0 or d.wait_seconds > 0 then d.steady_ends_at
        else d.moment + make_interval(secs => %(steady_seconds)s + %(margin)s)
    end
from decided as d
where
    w.account_hash = %(account_hash)s
    and w.operation = %(operation)s
returning
    d.wait_seconds,
    w.burst_limit,
    w.burst_used,
    w.steady_limit,
    w.steady_used
