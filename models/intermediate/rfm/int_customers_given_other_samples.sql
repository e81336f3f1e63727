{%- set facts = previous_build_of('customer_facts') -%}

with

windows as (
    select * from {{ ref('int_windows_built_for_rfm') }}
    where instants_back = 0 and is_mark_valid and {{ tenant_filter() }}
),

samples as (
    select * from {{ ref('int_orders_matched_as_samples') }}
    where {{ tenant_filter() }}
),

current_samples as (
    select
        s.tenant_id,
        s.customer_id,
        array_agg(s.order_id order by s.order_id) as sample_order_ids
    from samples as s
    inner join windows as w on s.tenant_id = w.tenant_id
    where s.customer_id is not null
    group by s.tenant_id, s.customer_id
),

previous_samples as (
    {%- if facts %}
    select
        f.tenant_id,
        f.customer_id,
        f.sample_order_ids
    from {{ facts }} as f
    inner join windows as w on f.tenant_id = w.tenant_id
    where f.sample_order_ids is not null and {{ tenant_filter('f.tenant_id') }}
    {%- else %}
    select * from current_samples
    where false
    {%- endif %}
),

final as (
    select
        coalesce(s.tenant_id, k.tenant_id) as tenant_id,
        coalesce(s.customer_id, k.customer_id) as customer_id
    from current_samples as s
    full join previous_samples as k on s.tenant_id = k.tenant_id and s.customer_id = k.customer_id
    where s.sample_order_ids is distinct from k.sample_order_ids
)

select * from final
