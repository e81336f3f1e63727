-- How RFM counts for one tenant.
select
    window_days,
    time_zone,
    minimum_minor,
    is_sample_counted,
    excluded_customer_ids,
    excluded_domains,
    updated_at
from app.rfm_settings
where tenant_id = %(tenant_id)s
