-- Workers that gave a sign of life within the last minute. Read as quintile_transform.
select count(*) as alive
from jobs.procrastinate_workers as w
where w.last_heartbeat > now() - interval '1 minute'
