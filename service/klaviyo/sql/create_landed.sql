-- Who has joined and left a list since it was read before.
create temporary table klaviyo_landed (
    change text not null,
    profile_id text not null,
    email text
) on commit drop
