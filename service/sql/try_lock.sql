-- Take the lock for a piece of work, if nobody has it.
select pg_try_advisory_lock(hashtextextended(%(work)s, 0)) as is_locked
