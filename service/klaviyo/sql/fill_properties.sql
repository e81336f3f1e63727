-- What a profile is told about the person: their segment, the one before, since when, the scores
-- and how many samples they have been sent. Klaviyo's imports cannot clear a property, so what is
-- not there is 'none', and 0 of the numbers. Of several customers with one address the first who
-- has a segment speaks; samples of all count.
insert into pg_temp.klaviyo_properties (email, properties, properties_hash)
with addresses as (
    select m.email
    from pg_temp.klaviyo_members as m
    where m.config_id = %(config_id)s and m.reason is null
    union distinct
    select b.email
    from app.klaviyo_ledger as b
    where b.tenant_id = %(tenant_id)s and b.config_id = %(config_id)s
    union distinct
    select p.email
    from app.klaviyo_profiles as p
    where %(config_id)s::uuid is null and p.tenant_id = %(tenant_id)s
),

customers as (
    select
        a.email,
        f.customer_id,
        row_number() over (
            partition by a.email
            order by case when f.segment is null then 1 else 0 end, f.customer_id
        ) as place
    from addresses as a
    inner join marts.customer_facts as f
        on f.tenant_id = %(tenant_id)s and lower(btrim(f.email)) = a.email
),

-- Once for each customer: joined as it is, the view could work out the former segment of all of
-- them anew for every address.
segments as materialized (
    select
        r.customer_id,
        r.segment,
        r.previous_segment,
        r.segment_changed_on,
        r.r_score,
        r.f_score,
        r.m_score
    from marts.customer_rfm_segments as r
    where r.tenant_id = %(tenant_id)s
),

samples as (
    select
        c.email,
        count(*) as received
    from customers as c
    inner join marts.sample_orders as s
        on s.tenant_id = %(tenant_id)s and c.customer_id = s.customer_id
    where s.status in ('partial', 'fulfilled')
    group by c.email
),

described as (
    select
        a.email,
        jsonb_build_object(
            'quintile_rfm_segment', coalesce(r.segment, 'none'),
            'quintile_rfm_previous_segment', coalesce(r.previous_segment, 'none'),
            'quintile_rfm_segment_changed_on', coalesce(r.segment_changed_on::text, 'none'),
            'quintile_r_score', coalesce(r.r_score, 0),
            'quintile_f_score', coalesce(r.f_score, 0),
            'quintile_m_score', coalesce(r.m_score, 0),
            'quintile_samples_received', coalesce(s.received, 0)
        ) as properties
    from addresses as a
    left join customers as c on a.email = c.email and c.place = 1
    left join segments as r on c.customer_id = r.customer_id
    left join samples as s on a.email = s.email
)

select
    d.email,
    d.properties,
    md5(d.properties::text) as properties_hash
from described as d
