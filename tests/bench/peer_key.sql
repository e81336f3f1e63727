-- Its index, made when it is full.
alter table marts.peer_rfm add primary key (tenant_id, customer_id)
