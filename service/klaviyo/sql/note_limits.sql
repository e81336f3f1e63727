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
    and w.operation = c.operation
