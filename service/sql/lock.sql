-- Take the lock for a piece of work, alone or with others that share it, waiting for whoever is in
-- the way.
select
    case
        when %(is_shared)s
            then pg_advisory_lock_shared(hashtextextended(%(work)s, 0))
        else pg_advisory_lock(hashtextextended(%(work)s, 0))
    end
