with

tenants as (
    select * from {{ app_table('tenants') }}
),

source as (
    select * from {{ app_table('rfm_settings') }}
),

-- A tenant without a row has the column defaults of app.rfm_settings. Without the service's schemas
-- the default zone is the one that the installer wrote in tenants_by_schema.
final as (
    select
        t.tenant_id,
        coalesce(s.window_days, 365) as window_days,
        {%- if var('use_service_schemas') %}
        coalesce(s.time_zone, 'UTC') as time_zone,
        {%- else %}
        coalesce(s.time_zone, t.time_zone, 'UTC') as time_zone,
        {%- endif %}
        coalesce(s.minimum_minor, 0) as minimum_minor,
        coalesce(s.is_sample_counted, false) as is_sample_counted,
        coalesce(s.excluded_customer_ids, '{}') as excluded_customer_ids,
        coalesce(s.excluded_domains, '{}') as excluded_domains,
        coalesce(s.relay_domains, '{}') as relay_domains,
        coalesce(s.additional_window_days, '{}') as additional_window_days
    from tenants as t
    left join source as s on t.tenant_id = s.tenant_id
)

select * from final
