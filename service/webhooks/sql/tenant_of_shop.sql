-- The tenant a webhook is for, by its shop: the one look-up that precedes a tenant.
select app.tenant_of_shop(%(shop)s) as tenant_id
