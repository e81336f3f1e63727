-- What a person decided about a sample's creator; without one, that there is nobody. No row where
-- the order is no sample or the creator is not there.
insert into app.sample_creator_links as l (tenant_id, order_id, creator_id, linked_by)
select
    s.tenant_id,
    s.order_id,
    %(creator_id)s::uuid,
    %(linked_by)s
from marts.sample_orders as s
where
    s.tenant_id = %(tenant_id)s
    and s.order_id = %(order_id)s
    and (
        %(creator_id)s::uuid is null
        or exists (
            select from app.creators as c
            where c.tenant_id = %(tenant_id)s and c.creator_id = %(creator_id)s
        )
    )
on conflict (tenant_id, order_id) do update set
    creator_id = excluded.creator_id,
    linked_by = excluded.linked_by,
    linked_at = excluded.linked_at
returning order_id
