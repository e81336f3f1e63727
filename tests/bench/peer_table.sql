-- The table that polars and DuckDB fill, with the columns of peer_scores.
create table marts.peer_rfm (
    tenant_id uuid,
    customer_id text,
    last_order_at timestamp,
    frequency_count int,
    monetary_minor bigint,
    r_score smallint,
    f_score smallint,
    m_score smallint
)
