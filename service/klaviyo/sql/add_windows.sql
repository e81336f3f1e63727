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
on conflict (account_hash, operation) do nothing
