-- How many addresses each action of the plan befalls, by reason, and a few of them as examples;
-- members who cannot be written to are skipped too.
with planned as (
    select
        p.action,
        p.reason,
        p.email,
        p.customer_id
    from pg_temp.klaviyo_plan as p
    where p.action is not null

    union all

    select
        'skip' as action,
        m.reason,
        m.email,
        m.customer_id
    from pg_temp.klaviyo_members as m
    where m.config_id = %(config_id)s and m.reason is not null
),

ranked as (
    select
        p.*,
        row_number() over (
            partition by p.action, p.reason
            order by p.email, p.customer_id
        ) as place
    from planned as p
)

select
    r.action,
    r.reason,
    count(*) as addresses,
    coalesce(
        jsonb_agg(
            jsonb_strip_nulls(
                jsonb_build_object(
                    'email', r.email, 'customer_id', r.customer_id, 'reason', r.reason
                )
            )
            order by r.place
        ) filter (where r.place <= 10 and (r.reason is null or r.place <= 3)),
        '[]'
    ) as examples
from ranked as r
group by r.action, r.reason
order by r.action, r.reason
