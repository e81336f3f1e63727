-- Whether dbt has built what tells a tenant's size.
select to_regclass('marts.rfm_data_quality') is not null as is_built
