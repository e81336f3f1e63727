-- Change what is given.
update app.rfm_settings
set
    window_days = coalesce(%(window_days)s, window_days),
    time_zone = coalesce(%(time_zone)s, time_zone),
    minimum_minor = coalesce(%(minimum_minor)s, minimum_minor),
    is_sample_counted = coalesce(%(is_sample_counted)s, is_sample_counted),
    excluded_customer_ids = coalesce(%(excluded_customer_ids)s::text[], excluded_customer_ids),
    excluded_domains = coalesce(%(excluded_domains)s::text[], excluded_domains),
    updated_at = now()
where tenant_id = %(tenant_id)s
