with

samples as (
    select * from {{ ref('sample_orders') }}
),

settings as (
    select * from {{ ref('stg_app__rfm_settings') }}
),

currencies as (
    select * from {{ ref('int_tenants_given_sample_currency') }}
),

-- A sample of both types counts in each type, and once in all.
final as (
    select
        s.tenant_id,
        sample_type,
        s.order_id,
        s.status,
        s.ordered_at,
        date_trunc('month', s.ordered_at at time zone z.time_zone)::date as ordered_month,
        c.currency,
        case when s.currency = c.currency then s.goods_value end as goods_value,
        case
            when s.status <> 'cancelled' then
                extract(epoch from s.first_fulfilled_at - s.ordered_at)::double precision
                / 86400
        end as days_to_fulfil
    from samples as s
    inner join currencies as c on s.tenant_id = c.tenant_id
    inner join settings as z on s.tenant_id = z.tenant_id
    cross join unnest(
        array_remove(
            array[
                'all',
                case when s.is_ugc then 'ugc' end,
                case when s.is_tiktok then 'tiktok' end
            ],
            null
        )
    ) as sample_type
)

select * from final
