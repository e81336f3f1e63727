-- A page of the profiles on a list, by address, those without one last, and one row more. An empty
-- address in the cursor stands for none.
select
    p.profile_id,
    p.email,
    p.joined_at,
    coalesce(p.email, '') as sort_email
from app.klaviyo_list_profiles as p
where
    p.tenant_id = %(tenant_id)s
    and p.list_id = %(list_id)s
    and (%(pattern)s::text is null or p.email ilike %(pattern)s)
    and (
        %(after_email)s::text is null
        or (p.email is null, coalesce(p.email, ''), p.profile_id)
        > (%(after_email)s = '', %(after_email)s, %(after_id)s)
    )
order by p.email is null, coalesce(p.email, ''), p.profile_id
limit %(row_limit)s
