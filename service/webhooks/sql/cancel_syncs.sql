-- Syncs that wait will not begin any more; one that runs ends by itself, as nothing answers it.
update app.runs
set
    state = 'failed',
    error = 'The app was removed from the store before this began.',
    advice = 'Install it again and connect the store: quintile tenants connect-shopify NAME',
    finished_at = now()
where
    tenant_id = %(tenant_id)s
    and state = 'queued'
    and kind <> 'build'
