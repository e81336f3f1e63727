-- Who ordered, where there is a phone number and no e-mail address.

alter table shopify.orders add column customer_phone text;

alter table app.tenants
add column country text constraint tenants_country_check check (country ~ '^[A-Z]{2}$');

comment on column shopify.orders.customer_phone is
'Phone number, without an e-mail address only: E.164, or its digits if its country is unknown.';
comment on column app.tenants.country is
'ISO 3166 code of the shop''s country, for phone numbers without a country code; null until known.';

grant update (country) on app.tenants to quintile_app;

-- An id made of a phone number, as app.customer_id_of_address makes one of an e-mail address. The
-- plus sign does not count, because programs that read numbers drop it.
create function app.customer_id_of_phone(phone text) returns text
language sql immutable parallel safe
return 'phone:' || left(
    encode(sha256(convert_to(regexp_replace(phone, '[^0-9]', '', 'g'), 'UTF8')), 'hex'), 32
);

-- As app.mentions with three arguments, or whether a text inside the document is one of these phone
-- numbers, in whatever spelling: with or without the country code, spaces or punctuation.
create function app.mentions(document jsonb, ids text[], emails text[], phones text[])
returns boolean
language sql immutable parallel safe
return app.mentions(document, ids, emails) or exists (
    select
    from jsonb_path_query(document, 'strict $.** ? (@.type() == "string" || @.type() == "number")')
        as found (leaf)
    cross join lateral
        ltrim(regexp_replace(found.leaf #>> '{}', '[^0-9]', '', 'g'), '0') as l (digits)
    cross join unnest(phones) as p (phone)
    where
        length(found.leaf #>> '{}') <= 40
        and length(l.digits) >= 7
        and right(ltrim(p.phone, '+0'), length(l.digits)) = l.digits
);
