-- The rows of customers and of the log of segments, in the order of their keys, into tables with the
-- same indexes, and without triggers or tests.
create table marts.bare_facts (like marts.customer_facts including indexes);
create table marts.bare_transitions (like marts.rfm_segment_transitions including indexes);

insert into marts.bare_facts
select * from marts.customer_facts
order by tenant_id, customer_id;

insert into marts.bare_transitions
select * from marts.rfm_segment_transitions
order by tenant_id, customer_id, as_of;
