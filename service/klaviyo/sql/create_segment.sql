-- The members of the segments that feed one list, as they are.
create temporary table klaviyo_segment (
    config_id uuid not null,
    customer_id text,
    email text
) on commit drop
