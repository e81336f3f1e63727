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
) to stdout with (format csv, header true)
