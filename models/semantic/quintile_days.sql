with

final as (
    select ('2000-01-01'::date + n.days_later) as date_day
    from generate_series(0, '2049-12-31'::date - '2000-01-01'::date) as n (days_later)
)

select * from final
