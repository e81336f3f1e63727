-- name: export_rfm
-- The scored customers of one tenant, for a CSV file.
select
    customer_id,
    recency_days,
    frequency_count,
    monetary_total,
    r_score,
    f_score,
    m_score,
    segment
from marts.customer_rfm_segments
where tenant_id = %(tenant_id)s
order by customer_id;

-- name: export_samples
-- The sample orders of one tenant, for a CSV file.
select
    order_id,
    is_ugc::text as is_ugc,
    is_tiktok::text as is_tiktok,
    matched_tags,
    matched_patterns,
    status
from marts.sample_orders
where tenant_id = %(tenant_id)s
order by order_id;
