-- Local: the addresses of the segment that can be written to, each once.
create temporary table klaviyo_local (
    email text primary key,
    customer_id text not null
) on commit drop
