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

-- name: read_settings
-- A tenant's settings, with the number of excluded customers instead of their ids.
select
    t.shop_domain as shop,
    t.currency,
    t.time_zone,
    t.country,
    r.window_days,
    r.additional_window_days,
    r.time_zone as rfm_time_zone,
    r.minimum_minor,
    r.is_sample_counted,
    cardinality(r.excluded_customer_ids) as excluded_customer_ids,
    r.excluded_domains,
    r.relay_domains,
    s.zero_price_only,
    s.ugc_zero_price_only
from app.tenants as t
inner join app.rfm_settings as r on t.tenant_id = r.tenant_id
inner join app.samples_config as s on t.tenant_id = s.tenant_id
where t.tenant_id = %(tenant_id)s;

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
    relay_domains = coalesce(%(relay_domains)s::text[], relay_domains),
    additional_window_days = coalesce(
        %(additional_window_days)s::int[], additional_window_days
    ),
    updated_at = now()
where tenant_id = %(tenant_id)s;

-- name: change_samples_settings
-- Change the given settings and record the replaced ones. No row if nothing changes.
with current as (
    select
        ugc_tags,
        tiktok_tags,
        channel_patterns,
        zero_price_only,
        ugc_zero_price_only
    from app.samples_config
    where tenant_id = %(tenant_id)s
    for update
),

wanted as (
    select
        coalesce(app.distinct_tags(%(ugc_tags)s::text[]), ugc_tags) as ugc_tags,
        coalesce(app.distinct_tags(%(tiktok_tags)s::text[]), tiktok_tags) as tiktok_tags,
        coalesce(
            app.distinct_tags(%(channel_patterns)s::text[]), channel_patterns
        ) as channel_patterns,
        coalesce(%(zero_price_only)s, zero_price_only) as zero_price_only,
        coalesce(%(ugc_zero_price_only)s, ugc_zero_price_only) as ugc_zero_price_only
    from current
),

kept as (
    insert into app.samples_config_changes (
        tenant_id, changed_by, former_ugc_tags, former_tiktok_tags, former_channel_patterns,
        former_zero_price_only, former_ugc_zero_price_only
    )
    select
        %(tenant_id)s,
        %(changed_by)s,
        f.ugc_tags,
        f.tiktok_tags,
        f.channel_patterns,
        f.zero_price_only,
        f.ugc_zero_price_only
    from current as f
    cross join wanted as w
    where f is distinct from w
    returning tenant_id
)

update app.samples_config as s
set
    ugc_tags = w.ugc_tags,
    tiktok_tags = w.tiktok_tags,
    channel_patterns = w.channel_patterns,
    zero_price_only = w.zero_price_only,
    ugc_zero_price_only = w.ugc_zero_price_only,
    updated_at = now()
from wanted as w
where s.tenant_id = %(tenant_id)s and exists (select from kept)
returning s.tenant_id;

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

-- name: tenant_of_shop
-- The tenant of a shop that signed a webhook or token: the only look-up outside a tenant.
select app.tenant_of_shop(%(shop)s) as tenant_id;

-- name: find_shop
-- The tenant's shop domain; no row if there is no such tenant.
select shop_domain
from app.tenants
where tenant_id = %(tenant_id)s;
