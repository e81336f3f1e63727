-- A tag for UGC samples makes an order a sample at any price: the price condition is TikTok's.
-- A brand that sends only free UGC samples can turn the condition on for them too.

alter table app.samples_config
add column ugc_zero_price_only boolean not null default false;

comment on column app.samples_config.zero_price_only is
'When true, an order is a TikTok sample only if its goods cost nothing.';
comment on column app.samples_config.ugc_zero_price_only is
'When true, an order is a UGC sample only if its goods cost nothing.';

-- Settings that were replaced before had no such condition to restore.
alter table app.samples_config_changes
add column former_ugc_zero_price_only boolean not null default false;

-- A relay domain is a rule: it covers its subdomains, and * stands for any characters, none
-- included. The last two parts are exact, because an address finds its rules by them.
create function app.are_relay_domains_valid(domains text[]) returns boolean
language sql immutable parallel safe
return (
    select coalesce(
        bool_and(
            domain is not null
            and domain ~ '^([a-z0-9_*-]+\.)*[a-z0-9_-]+\.[a-z0-9-]+$'
            and length(domain) <= 253
        ),
        true
    )
    from unnest(domains) as domain
);

alter table app.rfm_settings
add column relay_domains text[] not null default '{}',
add constraint rfm_settings_relay_domains_check check (
    app.are_relay_domains_valid(relay_domains)
);

comment on column app.rfm_settings.relay_domains is
'Relay domains of marketplaces in addition to the seed relay_domains, in lower case.';
