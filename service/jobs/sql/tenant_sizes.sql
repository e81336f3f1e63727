-- The class of every tenant, by its customers in the RFM window. Read as quintile_transform.
select
    t.tenant_id,
    case
        when q.customers is null then 'unbuilt'
        when q.customers < 1000 then 'small'
        when q.customers < 50000 then 'medium'
        else 'large'
    end as size
from app.tenants as t
left join marts.rfm_data_quality as q on t.tenant_id = q.tenant_id
