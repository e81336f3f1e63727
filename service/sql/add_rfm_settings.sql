-- The product's defaults are the columns' defaults.
insert into app.rfm_settings (tenant_id) values (%(tenant_id)s)
