-- Seconds in which sessions of the server worked so far, and how many there were.
select
    sum(active_time) / 1000 as active,
    sum(sessions) as sessions
from pg_stat_database
