-- The product's defaults are the columns' defaults.
insert into app.samples_config (tenant_id) values (%(tenant_id)s)
