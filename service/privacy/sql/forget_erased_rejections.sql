-- Forgets what this transaction has set aside of erased people: it is kept with its whole content.
with tenant_key as (
    select k.erasure_key
    from app.erasure_keys as k
    where
        k.tenant_id = %(tenant_id)s
        and exists (select from app.erased_subjects as e where e.tenant_id = %(tenant_id)s)
),

rejected as (
    delete from shopify.rejected_rows as r
    using tenant_key as k
    where
        r.tenant_id = %(tenant_id)s
        and r.rejected_at = now()
        and exists (
            select from app.erased_subjects as e
            where
                e.tenant_id = %(tenant_id)s
                and e.digest in (
                    app.erasure_digest(k.erasure_key, r.entity, r.source_id),
                    app.erasure_digest(
                        k.erasure_key, 'customer', nullif(split_part(r.source_id, '/', 2), '')
                    ),
                    app.erasure_digest(
                        k.erasure_key,
                        'customer',
                        regexp_replace(r.payload #>> '{customer,id}', '^.*/', '')
                    ),
                    app.erasure_digest(k.erasure_key, 'customer', r.payload ->> 'customer_id')
                )
        )
    returning 1
)

select count(*) as forgotten
from rejected
