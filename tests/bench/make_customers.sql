-- What a connected store has besides its orders: a currency, and its customers. Half of them accept
-- e-mail marketing.
with stores as (
    update app.tenants set currency = 'USD'
    returning tenant_id
)

insert into shopify.customers (
    tenant_id, customer_id, email, display_name, marketing_state, shopify_updated_at
)
select
    o.tenant_id,
    o.customer_id,
    'c' || o.customer_id || '@example.com',
    'Customer ' || o.customer_id,
    case when right(o.customer_id, 1) < '5' then 'SUBSCRIBED' else 'NOT_SUBSCRIBED' end,
    max(o.shopify_updated_at)
from shopify.orders as o
inner join stores as s on o.tenant_id = s.tenant_id
group by o.tenant_id, o.customer_id
