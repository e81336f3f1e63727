-- The segment's members, as they are.
create temporary table klaviyo_members (
    customer_id text not null,
    email text
) on commit drop
