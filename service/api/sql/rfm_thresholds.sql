-- What each score takes, metric by metric, the highest score first.
select
    metric,
    score,
    rule_in_words,
    cut_value,
    currency,
    customers,
    calculated_at
from marts.rfm_thresholds
where tenant_id = %(tenant_id)s
order by array_position(array['recency', 'frequency', 'monetary'], metric), score desc
