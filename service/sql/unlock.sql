-- Give the lock back.
select pg_advisory_unlock(hashtextextended(%(work)s, 0))
