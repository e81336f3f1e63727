-- A new brand.
insert into app.tenants (name, shop_domain)
values (%(name)s, %(shop)s)
returning tenant_id
