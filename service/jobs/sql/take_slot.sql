-- The first slot that no other build has, locked; no row when all are taken.
select slot
from generate_series(0, %(slots)s - 1) as slot
where pg_try_advisory_lock(hashtextextended('quintile build slot ' || slot, 0))
limit 1 -- noqa: AM09
