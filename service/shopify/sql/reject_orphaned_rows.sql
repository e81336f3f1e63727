-- Rejects the items of orders whose first line is not in the file, or could not be read; shows the
-- first thousand, and how many there are.
with orphaned as (
    update pg_temp.csv_orders
    set
        reason = 'its order ' || order_number || ' has no readable first line in this file',
        payload = jsonb_build_object('name', order_number, 'line item', line_item)
    where is_further_item and reason is null
    returning line_number, reason
)

select
    o.line_number,
    o.reason,
    count(*) over () as orphans
from orphaned as o
order by o.line_number
limit 1000
