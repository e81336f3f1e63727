-- Orders with a line that speaks of another currency: no sum of theirs would mean anything.
insert into pg_temp.bulk_rejections (source_id, reason, payload)
select distinct on (o.order_id)
    o.order_id,
    format('amounts in %%s and in %%s', o.currency, l.currency),
    jsonb_build_object('id', o.order_id, 'lineItems', jsonb_build_array(l.item))
from pg_temp.bulk_orders as o
inner join pg_temp.bulk_lines as l on o.order_id = l.order_id and o.currency <> l.currency
where
    o.block between %(first_block)s and %(last_block)s
    and l.block between %(first_line_block)s and %(last_line_block)s
order by o.order_id asc, l.line_id asc
