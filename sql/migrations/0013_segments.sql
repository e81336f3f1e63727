-- Shopify's segments are synced by themselves, a kind of run of its own. Which kinds there are is
-- for the code to say, where each has its work; the database keeps them to the form of a name.

alter table app.runs drop constraint runs_kind_check;

alter table app.runs add constraint runs_kind_check check (kind ~ '^[a-z]+(_[a-z]+)*$');

comment on column app.runs.kind is
'What was done: shopify_sync (customers and orders), segments_sync, klaviyo_sync, build, …';

-- Pages of segments by name, of thousands.
create index cached_segments_name_idx
on shopify.cached_segments (tenant_id, lower(name), segment_id);

-- Who ordered, in a file that knows addresses but no ids of customers: an id made of the address,
-- without showing it, that gives way to the customer's own once that is known.
create function app.customer_id_of_address(address text) returns text
language sql immutable parallel safe
return 'email:' || left(encode(sha256(convert_to(lower(btrim(address)), 'UTF8')), 'hex'), 32);

create index orders_by_address_idx on shopify.orders (tenant_id, customer_id)
where customer_id like 'email:%';
