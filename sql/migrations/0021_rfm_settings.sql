-- A customer to exclude from RFM has an id: an empty one, or one with space around it, is nobody's,
-- and would exclude nobody without a word. API and command have never let one in.
create function app.are_ids_valid(ids text[]) returns boolean
language sql immutable parallel safe
return (
    select coalesce(bool_and(id is not null and id <> '' and id = btrim(id)), true)
    from unnest(ids) as id
);

-- One row per tenant: what somebody has written by hand is put right first.
update app.rfm_settings
set
    excluded_customer_ids = array(
        select btrim(c.id)
        from unnest(excluded_customer_ids) with ordinality as c (id, place)
        where btrim(c.id) <> ''
        order by c.place
    )
where not app.are_ids_valid(excluded_customer_ids);

alter table app.rfm_settings
add constraint rfm_settings_customer_ids_check check (app.are_ids_valid(excluded_customer_ids));
