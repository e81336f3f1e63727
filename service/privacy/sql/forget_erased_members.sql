-- Takes erased people out of segments into which this transaction has landed members.
with tenant_key as (
    select k.erasure_key
    from app.erasure_keys as k
    where
        k.tenant_id = %(tenant_id)s
        and exists (select from app.erased_subjects as e where e.tenant_id = %(tenant_id)s)
),

members as (
    delete from shopify.segment_members as m
    using tenant_key as k
    where
        m.tenant_id = %(tenant_id)s
        and m.segment_id = any(%(segment_ids)s)
        and m.landed_at = now()
        and exists (
            select from app.erased_subjects as e
            where
                e.tenant_id = %(tenant_id)s
                and e.digest = app.erasure_digest(k.erasure_key, 'customer', m.customer_id)
        )
    returning 1
)

select count(*) as forgotten
from members
