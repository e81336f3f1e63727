-- Gives each order of Shopify's export the items of all its lines. A further item names its order,
-- not its id, and belongs to the last first line of that name above it, else to the first one
-- below: lines of an order need not follow each other. Those that have found theirs are done with.
with named as (
    select
        c.line_number,
        c.line_item,
        c.is_further_item,
        coalesce(
            max(c.line_number) filter (where c.is_further_item is null) over above,
            min(c.line_number) filter (where c.is_further_item is null) over below
        ) as first_line
    from pg_temp.csv_orders as c
    where c.reason is null
    window
        above as (partition by c.order_number order by c.line_number),
        below as (
            partition by c.order_number
            order by c.line_number
            rows between current row and unbounded following
        )
),

gathered as (
    select
        n.first_line,
        jsonb_agg(n.line_item order by n.line_number) filter (where n.line_item is not null)
            as line_items
    from named as n
    where n.first_line is not null
    group by n.first_line
),

taken as (
    delete from pg_temp.csv_orders as c
    using named as n
    where c.line_number = n.line_number and c.is_further_item and n.first_line is not null
)

update pg_temp.csv_orders as c
set line_items = g.line_items
from gathered as g
where c.line_number = g.first_line
