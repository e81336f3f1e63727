-- Has what is missing from the listing asked for one by one, for only that proves that it is gone.
with noted as (
    insert into shopify.rereads as r (tenant_id, entity, source_id, is_visible)
    select
        %(tenant_id)s,
        %(entity)s,
        m.source_id,
        true
    from pg_temp.missing as m
    on conflict (tenant_id, entity, source_id) do update set is_visible = true
    where r.tenant_id = %(tenant_id)s and not r.is_visible
    returning 1
)

select count(*) as written
from noted
