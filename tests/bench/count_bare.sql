-- How many rows write_bare has written.
select
    (select count(*) from marts.bare_facts)
    + (select count(*) from marts.bare_transitions) as rows
