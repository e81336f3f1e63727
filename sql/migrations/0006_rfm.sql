-- RFM as each tenant wants it counted.

-- A time zone that PostgreSQL does not know makes every conversion to it an error: none may be
-- stored. PL/pgSQL, because only it can answer an error with false; that takes a subtransaction,
-- which a parallel worker may not begin.
create function app.is_time_zone(zone text) returns boolean
language plpgsql immutable parallel unsafe
as $$
begin
    perform '2000-01-01 00:00:00+00'::timestamptz at time zone zone;
    return true;
exception
    when invalid_parameter_value then return false;
end
$$;

create function app.are_domains_valid(domains text[]) returns boolean
language sql immutable parallel safe
return (
    select coalesce(
        bool_and(domain is not null and domain ~ '^[a-z0-9_-]+(\.[a-z0-9_-]+)+$'), true
    )
    from unnest(domains) as domain
);

alter table app.rfm_settings
add column time_zone text not null default 'UTC',
add column minimum_minor bigint not null default 0,
add column excluded_domains text[] not null default '{}',
add column is_sample_counted boolean not null default false,
add constraint rfm_settings_time_zone_check check (app.is_time_zone(time_zone)),
add constraint rfm_settings_minimum_check check (minimum_minor >= 0),
add constraint rfm_settings_domains_check check (app.are_domains_valid(excluded_domains));

comment on column app.rfm_settings.time_zone is
'IANA name: whole days, of the window and since the last order, are days of this zone.';
comment on column app.rfm_settings.minimum_minor is
'Least net value of an order that counts, in minor units of the tenant''s currency.';
comment on column app.rfm_settings.excluded_domains is
'Domains, in lower case, whose addresses stand for nobody to be scored, such as the brand''s own.';
comment on column app.rfm_settings.is_sample_counted is
'Whether a sample that has a net value counts like any order.';
