-- Shopify's fulfilment statuses that count as pending because nobody has said what they mean.
select
    fulfillment_status,
    samples
from marts.sample_unknown_statuses
where tenant_id = %(tenant_id)s
order by samples desc, fulfillment_status asc
