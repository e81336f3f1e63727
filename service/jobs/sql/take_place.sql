-- The first place that no other build works in, locked; none when all are taken.
select place
from generate_series(0, %(places)s - 1) as place
where pg_try_advisory_lock(hashtextextended('quintile build place ' || place, 0))
limit 1 -- noqa: AM09
