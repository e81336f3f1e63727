with

samples as (
    select * from {{ ref('int_samples_counted_by_type') }}
),

final as (
    select
        tenant_id,
        sample_type,
        ordered_month,
        count(*)::int as samples,
        (count(*) filter (where status = 'pending'))::int as pending,
        (count(*) filter (where status = 'partial'))::int as partly_fulfilled,
        (count(*) filter (where status = 'fulfilled'))::int as fulfilled,
        (count(*) filter (where status = 'cancelled'))::int as cancelled,
        sum(goods_value) filter (where status <> 'cancelled') as goods_value,
        min(currency) as currency
    from samples
    group by tenant_id, sample_type, ordered_month
)

select * from final
