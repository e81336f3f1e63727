-- Rows that dbt's tables have had written since they were made, and WAL since the server was.
select
    coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint as rows,
    pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint as wal_bytes
from pg_stat_user_tables
where schemaname in ('intermediate', 'marts')
