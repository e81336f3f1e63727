-- Orders that a line of this block belongs to and that are in no block near it.
with late as (
    insert into pg_temp.bulk_late (order_id)
    select distinct l.order_id
    from pg_temp.bulk_lines as l
    where
        l.block = %(block)s
        and not exists (
            select from pg_temp.bulk_orders as o
            where
                o.block between %(block)s - 1 and %(block)s + 1
                and o.order_id = l.order_id
        )
    returning 1
)

select count(*) as late
from late
