-- Take the lock for a piece of work, alone or with others that share it, if nobody is in the way.
select
    case
        when %(is_shared)s
            then pg_try_advisory_lock_shared(hashtextextended(%(work)s, 0))
        else pg_try_advisory_lock(hashtextextended(%(work)s, 0))
    end as is_locked
