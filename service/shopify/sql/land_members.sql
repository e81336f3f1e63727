-- Makes a segment's members what the store says they are, touching only those that differ.
with incoming as (
    select distinct on (m.customer_id)
        m.customer_id,
        m.email,
        m.display_name,
        m.marketing_state
    from pg_temp.incoming_members as m
    order by m.customer_id
),

gone as (
    delete from shopify.segment_members as m
    where
        m.tenant_id = %(tenant_id)s
        and m.segment_id = %(segment_id)s
        and not exists (select from incoming as i where i.customer_id = m.customer_id)
    returning 1
),

written as (
    insert into shopify.segment_members as m (
        tenant_id,
        segment_id,
        customer_id,
        email,
        display_name,
        marketing_state
    )
    select
        %(tenant_id)s,
        %(segment_id)s,
        i.customer_id,
        i.email,
        i.display_name,
        i.marketing_state
    from incoming as i
    on conflict (tenant_id, segment_id, customer_id) do update set
        email = excluded.email,
        display_name = excluded.display_name,
        marketing_state = excluded.marketing_state,
        landed_at = excluded.landed_at
    where
        m.tenant_id = %(tenant_id)s
        and (m.email, m.display_name, m.marketing_state)
        is distinct from (excluded.email, excluded.display_name, excluded.marketing_state)
    returning 1
)

select (select count(*) from gone) + (select count(*) from written) as written
