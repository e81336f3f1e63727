-- Local: the same members, with their addresses in one form, and why one cannot be written to.
create temporary table klaviyo_members (
    config_id uuid not null,
    customer_id text,
    email text,
    reason text
) on commit drop
