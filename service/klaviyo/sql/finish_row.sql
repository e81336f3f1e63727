-- What became of a configuration in a run, with how often each error came: those of addresses are
-- in the ledger. Who was on the list already when Klaviyo refused to be told anew about them has
-- not changed there; when that was is known of the profile.
with refused as (
    select
        k.error_code,
        count(*) as times
    from app.klaviyo_ledger as k
    inner join app.klaviyo_sync_runs as r
        on
            r.tenant_id = %(tenant_id)s
            and r.run_id = %(run_id)s
            and r.config_id = %(config_id)s
    where
        k.tenant_id = %(tenant_id)s
        and k.config_id = %(config_id)s
        and k.error_code is not null
        and (
            k.changed_at >= r.started_at
            or (
                k.state <> 'rejected'
                and exists (
                    select from app.klaviyo_profiles as p
                    where
                        p.tenant_id = %(tenant_id)s
                        and p.email = k.email
                        and p.sent_at >= r.started_at
                )
            )
        )
        and not r.is_dry_run
    group by k.error_code
)

update app.klaviyo_sync_runs
set
    state = %(state)s,
    stopped_for = %(stopped_for)s,
    plan = coalesce(%(plan)s, plan),
    counts = %(counts)s,
    errors = coalesce((select jsonb_object_agg(e.error_code, e.times) from refused as e), '{}')
    || %(errors)s,
    calls = %(calls)s,
    error = %(error)s,
    advice = %(advice)s,
    finished_at = now()
where tenant_id = %(tenant_id)s and run_id = %(run_id)s and config_id = %(config_id)s
