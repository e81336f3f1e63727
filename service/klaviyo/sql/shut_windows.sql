-- Klaviyo has asked to be left alone with an operation for so many seconds.
update app.klaviyo_windows
set
    shut_until = greatest(
        shut_until, clock_timestamp() + make_interval(secs => %(seconds)s)
    )
where account_hash = %(account_hash)s and operation = %(operation)s
