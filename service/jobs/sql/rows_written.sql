-- Rows written since PostgreSQL began to count, by schema; whoever wrote them.
select
    s.schemaname::text as schema,
    sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del)::bigint as rows
from pg_catalog.pg_stat_user_tables as s
where s.schemaname in ('shopify', 'app', 'marts')
group by s.schemaname
order by s.schemaname
