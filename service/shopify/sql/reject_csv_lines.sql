-- Keeps the lines that could not be read, with the reason: by their order where they have one, else
-- by their line, which then stands for the latest import only. An order whose last line was good
-- is no longer a rejected one.
with last_lines as (
    select distinct on (c.order_id)
        c.order_id,
        c.reason,
        c.payload
    from pg_temp.csv_orders as c
    where c.order_id is not null
    order by c.order_id asc, c.line_number desc
),

rejected as (
    select
        'order' as entity,
        l.order_id as source_id,
        l.reason,
        l.payload
    from last_lines as l
    where l.reason is not null
    union all
    select
        'csv_line' as entity,
        c.line_number::text as source_id,
        c.reason,
        c.payload
    from pg_temp.csv_orders as c
    where c.order_id is null
),

taken_back as (
    delete from shopify.rejected_rows as j
    where
        j.tenant_id = %(tenant_id)s
        and (
            (
                j.entity = 'order'
                and exists (
                    select from last_lines as l
                    where l.order_id = j.source_id and l.reason is null
                )
            )
            or (
                j.entity = 'csv_line'
                and not exists (
                    select from rejected as r
                    where r.entity = 'csv_line' and r.source_id = j.source_id
                )
            )
        )
)

insert into shopify.rejected_rows as j (tenant_id, entity, source_id, reason, payload)
select
    %(tenant_id)s,
    r.entity,
    r.source_id,
    r.reason,
    r.payload
from rejected as r
on conflict (tenant_id, entity, source_id) do update set
    reason = excluded.reason,
    payload = excluded.payload,
    rejected_at = excluded.rejected_at
where
    j.tenant_id = %(tenant_id)s
    and (j.reason, j.payload) is distinct from (excluded.reason, excluded.payload)
