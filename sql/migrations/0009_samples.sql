-- Samples: what finds the few candidates among a tenant's orders.

-- What two tags are compared by: the macro tag_key says the same to dbt, and a test compares them.
-- Signs that may be written in two ways (é as one code point or as two) are one sign.
create function app.tag_key(tag text) returns text
language sql immutable parallel safe
return lower(btrim(normalize(tag, nfc), e' \t\r\n'));

-- The tags of one tenant as numbers, for the index below. A number leads from tag and tenant to the
-- orders; whoever finds orders by it compares the tags themselves afterwards, so that two tags with
-- one number do no harm. Numbers have one size, and GIN refuses a long text. The body is parsed
-- when the function is made, so it means the same whatever the search_path of a restore.
create function app.tenant_tag_numbers(tenant_id uuid, tags text[]) returns bigint[]
language sql immutable parallel safe
return (
    select array_agg(hashtextextended(app.tag_key(tag), uuid_hash_extended(tenant_id, 0)))
    from unnest(tags) as tag
    where tag is not null
);

-- The whole array meets the tags of a setting: for dbt's role only, because an operator of arrays
-- is not leakproof and so no way into an index under a tenant's policy.
create index orders_tags_idx on shopify.orders
using gin (app.tenant_tag_numbers(tenant_id, tags))
where tags <> '{}';

-- The channels a tenant has, and its orders of one.
create index orders_channel_idx on shopify.orders (tenant_id, channel)
where channel is not null;

-- Orders whose goods cost nothing from the start: few, and every sample by channel is one.
create index orders_free_idx on shopify.orders (tenant_id, channel)
where subtotal_minor <= 0;
