-- Change what is given.
update app.rfm_settings
set
    window_days = coalesce(%(window_days)s, window_days),
    excluded_customer_ids = coalesce(%(excluded_customer_ids)s::text[], excluded_customer_ids),
    updated_at = now()
where tenant_id = %(tenant_id)s
