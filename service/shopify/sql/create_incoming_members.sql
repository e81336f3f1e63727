-- Where a segment's members wait to be compared with those landed before.
create temporary table incoming_members (
    customer_id text not null,
    email text,
    display_name text,
    marketing_state text
) on commit drop
