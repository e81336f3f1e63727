-- Whether the tables that the API reads exist. No tenant is involved: only the catalog is read.
select
    to_regclass('app.runs') is not null
    and to_regclass('marts.rfm_segments') is not null
    and to_regclass('marts.customer_rfm_segments') is not null
    and to_regclass('marts.sample_orders') is not null as is_built
