-- What a profile is to be told about the person, by address.
create temporary table klaviyo_properties (
    email text primary key,
    properties jsonb not null,
    properties_hash text not null
) on commit drop
