-- What is to be done about which address.
create temporary table klaviyo_plan (
    action text not null,
    email text not null,
    customer_id text not null,
    profile_id text
) on commit drop
