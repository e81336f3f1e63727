-- Ends what runs that are over have left unfinished: their process died.
update app.klaviyo_sync_runs as s
set
    state = 'failed',
    error = 'The process that did this sync ended without finishing it.',
    advice = 'Sync again; it takes up where it was.',
    finished_at = now()
from app.runs as r
where
    s.tenant_id = %(tenant_id)s
    and s.state in ('queued', 'running')
    and r.tenant_id = %(tenant_id)s
    and s.run_id = r.run_id
    and r.state in ('succeeded', 'failed')
returning s.run_id
