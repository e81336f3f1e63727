-- Other settings for everybody, by which nothing comes out otherwise: no order is worth less than 1.
insert into app.rfm_settings (tenant_id, minimum_minor)
select
    tenant_id,
    1 as minimum_minor
from app.tenants
on conflict (tenant_id) do update set minimum_minor = excluded.minimum_minor
