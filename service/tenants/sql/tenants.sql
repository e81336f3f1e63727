-- name: add_tenant
-- Add a tenant.
insert into app.tenants (name, shop_domain)
values (%(name)s, %(shop)s)
returning tenant_id;

-- name: add_rfm_settings
-- RFM settings of a new tenant: the columns' defaults.
insert into app.rfm_settings (tenant_id) values (%(tenant_id)s);

-- name: add_samples_config
-- Samples settings of a new tenant: the columns' defaults.
insert into app.samples_config (tenant_id) values (%(tenant_id)s);

-- name: change_tenant
-- Change what is not null. Loaded data belongs to one shop: once the tenant has been connected,
-- another shop changes nothing and returns no row.
update app.tenants as t
set
    shop_domain = coalesce(%(shop)s, t.shop_domain),
    currency = coalesce(%(currency)s, t.currency),
    time_zone = coalesce(%(time_zone)s, t.time_zone),
    country = coalesce(%(country)s, t.country)
where
    t.tenant_id = %(tenant_id)s
    and (
        %(shop)s::text is null
        or t.shop_domain = %(shop)s
        or not exists (
            select from app.connections as c
            where c.tenant_id = %(tenant_id)s and c.provider = 'shopify'
        )
    )
returning t.tenant_id;

-- name: change_rfm_settings
-- Change what is not null.
update app.rfm_settings
set
    window_days = coalesce(%(window_days)s, window_days),
    time_zone = coalesce(%(time_zone)s, time_zone),
    minimum_minor = coalesce(%(minimum_minor)s, minimum_minor),
    is_sample_counted = coalesce(%(is_sample_counted)s, is_sample_counted),
    excluded_customer_ids = coalesce(%(excluded_customer_ids)s::text[], excluded_customer_ids),
    excluded_domains = coalesce(%(excluded_domains)s::text[], excluded_domains),
    updated_at = now()
where tenant_id = %(tenant_id)s;

-- name: list_tenants
-- Every tenant with its connected providers.
select
    t.tenant_id,
    t.name,
    t.shop_domain,
    t.currency,
    t.time_zone,
    array(
        select c.provider
        from app.connections as c
        where c.tenant_id = t.tenant_id and c.state <> 'disconnected'
        order by c.provider
    ) as connected
from app.tenants as t
order by t.name;
