-- Remote: the profiles on the list that have an address.
create temporary table klaviyo_remote (
    email text not null,
    profile_id text not null
) on commit drop
