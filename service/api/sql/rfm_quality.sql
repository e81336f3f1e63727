-- Whether a tenant's orders are enough for RFM, and why not; no row before its first build.
select
    verdict,
    reasons,
    customers,
    history_days,
    days_without_order,
    tied_order_count,
    tied_share,
    calculated_at
from marts.rfm_data_quality
where tenant_id = %(tenant_id)s
