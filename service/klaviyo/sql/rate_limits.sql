-- name: reserve_call
-- Counts one call in both windows of an operation and returns its number in each. If a window is
-- full or throttled it counts nothing and returns the wait. A window lasts a margin longer than
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
    w.burst_used as burst_number,
    w.steady_limit,
    w.steady_used as steady_number;

-- name: add_windows
-- Windows of an operation that was not used yet, as narrow as the narrowest of Klaviyo's; the first
-- response tells their size.
insert into app.klaviyo_windows (
    account_hash,
    operation,
    burst_limit,
    burst_used,
    burst_ends_at,
    steady_limit,
    steady_used,
    steady_ends_at,
    shut_until
)
values (
    %(account_hash)s,
    %(operation)s,
    1,
    0,
    'epoch',
    15,
    0,
    'epoch',
    'epoch'
)
on conflict (account_hash, operation) do nothing;

-- name: record_limits
-- Takes over from Klaviyo how large an operation's windows are, and fewer remaining calls than
-- counted here: other programs use them too. Klaviyo does not yet know the calls that were made
-- since the one it responds to, so they are added.
with counted as (
    select
        account_hash,
        operation,
        greatest(
            burst_used,
            %(burst_total)s + greatest(burst_used - %(burst_number)s, 0)
        ) as burst_total,
        greatest(
            steady_used,
            %(steady_total)s + greatest(steady_used - %(steady_number)s, 0)
        ) as steady_total
    from app.klaviyo_windows
    where account_hash = %(account_hash)s and operation = %(operation)s
    for update
)

update app.klaviyo_windows as w
set
    burst_limit = %(burst_limit)s,
    steady_limit = %(steady_limit)s,
    burst_used = c.burst_total,
    burst_ends_at = case
        when c.burst_total > w.burst_used
            then clock_timestamp() + make_interval(secs => %(ends_in)s + %(margin)s)
        else w.burst_ends_at
    end,
    steady_used = c.steady_total,
    steady_ends_at = case
        when c.steady_total > w.steady_used
            then clock_timestamp() + make_interval(secs => %(ends_in)s + %(margin)s)
        else w.steady_ends_at
    end
from counted as c
where
    w.account_hash = %(account_hash)s
    and w.operation = %(operation)s
    and w.account_hash = c.account_hash
    and w.operation = c.operation;

-- name: throttle
-- Klaviyo has asked for no more calls of an operation for this many seconds.
update app.klaviyo_windows
set
    shut_until = greatest(
        shut_until, clock_timestamp() + make_interval(secs => %(seconds)s)
    )
where account_hash = %(account_hash)s and operation = %(operation)s;
