-- The database's clock, which all processes share.
select now() as now
