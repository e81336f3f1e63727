-- A page of what a configuration has done about each address, by address.
select
    email,
    customer_id,
    profile_id,
    state,
    is_member,
    error_code,
    error_detail,
    changed_at
from app.klaviyo_ledger
where
    tenant_id = %(tenant_id)s
    and config_id = %(config_id)s
    and (%(state)s::text is null or state = %(state)s)
    and (
        %(q)s::text is null
        or position(lower(%(q)s) in email) > 0
        or customer_id = %(q)s
    )
    and (%(after_email)s::text is null or email > %(after_email)s)
order by email
limit %(row_limit)s
