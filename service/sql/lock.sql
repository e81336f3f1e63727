-- Take the lock for a piece of work, waiting for whoever has it.
select pg_advisory_lock(hashtextextended(%(work)s, 0))
