with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

samples as (
    select * from {{ ref('int_samples_counted_by_type') }}
),

types as (
    select
        t.tenant_id,
        sample_type
    from tenants as t
    cross join unnest(array['all', 'ugc', 'tiktok']) as sample_type
),

final as (
    select
        t.tenant_id,
        t.sample_type,

        -- status
        count(s.order_id)::int as samples,
        (count(*) filter (where s.status = 'pending'))::int as pending,
        (count(*) filter (where s.status = 'partial'))::int as partly_fulfilled,
        (count(*) filter (where s.status = 'fulfilled'))::int as fulfilled,
        (count(*) filter (where s.status = 'cancelled'))::int as cancelled,

        -- value and time to fulfil
        sum(s.goods_value) filter (where s.status <> 'cancelled') as goods_value,
        min(s.currency) as currency,
        round(
            (percentile_cont(0.5) within group (order by s.days_to_fulfil asc))::numeric, 1
        ) as median_days_to_fulfil,

        -- recent periods
        (
            count(*) filter (
                where
                s.ordered_at >= {{ as_of() }} - interval '30 days'
                and s.ordered_at < {{ as_of() }}
            )
        )::int as last_30_days,
        (
            count(*) filter (
                where
                s.ordered_at >= {{ as_of() }} - interval '60 days'
                and s.ordered_at < {{ as_of() }} - interval '30 days'
            )
        )::int as previous_30_days,
        {{ as_of() }} as calculated_at
    from types as t
    left join samples as s on t.tenant_id = s.tenant_id and t.sample_type = s.sample_type
    group by t.tenant_id, t.sample_type
)

select * from final
