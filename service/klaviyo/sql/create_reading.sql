-- What has been read of a list.
create temporary table klaviyo_reading (
    profile_id text not null,
    email text,
    joined_at timestamptz,
    is_suppressed boolean not null
) on commit drop
