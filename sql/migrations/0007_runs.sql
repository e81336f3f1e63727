-- One run of a kind may wait while another is running: what changed after that one began still
-- has to be built. Two of them never wait, and two never run.

drop index app.runs_unfinished_key;

create unique index runs_unfinished_key on app.runs (tenant_id, kind, state)
where state in ('queued', 'running');
