-- What is to be done about which address, and what the ledger is to hold of it; null for nothing.
create temporary table klaviyo_plan (
    action text,
    reason text,
    email text not null,
    customer_id text,
    profile_id text,
    next_state text,
    is_member boolean not null,
    enters boolean not null,
    leaves boolean not null
) on commit drop
