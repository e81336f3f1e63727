-- The tenant's key for digests of what is erased; made once.
insert into app.erasure_keys (tenant_id)
values (%(tenant_id)s)
on conflict (tenant_id) do nothing
