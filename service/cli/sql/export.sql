-- name: export_rfm
-- RFM of one tenant as CSV. COPY takes no parameters: the tenant is a literal composed by psycopg.
copy (
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
    where tenant_id = {tenant_id}
    order by customer_id
) to stdout with (format csv, header true);

-- name: export_samples
-- Sample orders of one tenant as CSV; lists are joined by semicolons.
copy (
    select
        order_id,
        is_ugc::text as is_ugc,
        is_tiktok::text as is_tiktok,
        array_to_string(matched_tags, ';') as matched_tags,
        array_to_string(matched_patterns, ';') as matched_patterns,
        status
    from marts.sample_orders
    where tenant_id = {tenant_id}
    order by order_id
) to stdout with (format csv, header true);
