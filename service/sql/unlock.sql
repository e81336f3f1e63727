-- Give the lock back.
select
    case
        when %(is_shared)s
            then pg_advisory_unlock_shared(hashtextextended(%(work)s, 0))
        else pg_advisory_unlock(hashtextextended(%(work)s, 0))
    end
