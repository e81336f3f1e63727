-- name: reserve_call
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
    w.steady_used;

-- name: add_windows
-- Windows of an operation nobody has used yet; the first answer tells how large they are.
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
    %(burst_limit)s,
    0,
    'epoch',
    %(steady_limit)s,
    0,
    'epoch',
    'epoch'
)
on conflict (account_hash, operation) do nothing;

-- name: record_limits
-- Believes Klaviyo about how large an operation's windows are, and when it tells of fewer calls
-- left in one than we count: somebody else spends them too. Of calls that have been made since the
-- one it answers it knows nothing yet, so they come on top.
with counted as (
    select
        account_hash,
        operation,
        greatest(
            burst_used,
            %(burst_spent)s + greatest(burst_used - %(burst_number)s, 0)
        ) as burst_spent,
        greatest(
            steady_used,
            %(steady_spent)s + greatest(steady_used - %(steady_number)s, 0)
        ) as steady_spent
    from app.klaviyo_windows
    where account_hash = %(account_hash)s and operation = %(operation)s
    for update
)

update app.klaviyo_windows as w
set
    burst_limit = %(burst_limit)s,
    steady_limit = %(steady_limit)s,
    burst_used = c.burst_spent,
    burst_ends_at = case
        when c.burst_spent > w.burst_used
            then clock_timestamp() + make_interval(secs => %(ends_in)s + %(margin)s)
        else w.burst_ends_at
    end,
    steady_used = c.steady_spent,
    steady_ends_at = case
        when c.steady_spent > w.steady_used
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
-- Klaviyo has asked to be left alone with an operation for so many seconds.
update app.klaviyo_windows
set
    shut_until = greatest(
        shut_until, clock_timestamp() + make_interval(secs => %(seconds)s)
    )
where account_hash = %(account_hash)s and operation = %(operation)s;
