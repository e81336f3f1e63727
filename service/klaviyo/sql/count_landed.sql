-- How many have joined and left the list, with a few of them as examples.
with ranked as (
    select
        l.change,
        l.email,
        row_number() over (
            partition by l.change
            order by l.email, l.profile_id
        ) as place
    from pg_temp.klaviyo_landed as l
)

select
    r.change,
    count(*) as changes,
    coalesce(
        jsonb_agg(jsonb_build_object('email', r.email) order by r.place) filter (
            where r.place <= 10 and r.email is not null
        ),
        '[]'
    ) as examples
from ranked as r
group by r.change
