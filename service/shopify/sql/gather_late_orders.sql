-- Puts the orders that have to wait for the end of the file into a block of their own: those whose
-- lines are far away, and those of blocks that have not been landed.
update pg_temp.bulk_orders as o
set block = -1
where
    o.block >= %(first_waiting)s
    or exists (
        select from pg_temp.bulk_late as l
        where l.order_id = o.order_id
    )
