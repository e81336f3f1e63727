-- Runs that wait or are at work, by kind. Read as quintile_transform.
select
    r.kind,
    r.state,
    count(*) as runs
from app.runs as r
where r.state in ('queued', 'running')
group by r.kind, r.state
order by r.kind, r.state
