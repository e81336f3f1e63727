-- When the tenant's samples were last known to be built: by a run of the service, or by a plain
-- `dbt build`, which leaves no run but dates the scores it builds along with the samples.
select greatest(
    (
        select max(finished_at)
        from app.runs
        where tenant_id = %(tenant_id)s and kind = 'build' and state = 'succeeded'
    ),
    (
        select max(calculated_at)
        from marts.customer_rfm_segments
        where tenant_id = %(tenant_id)s
    )
) as as_of
