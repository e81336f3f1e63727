-- Rows that dbt's tables have had written since they were made, WAL since the server was, and the
-- milliseconds that dbt's sessions have spent executing.
select
    (
        select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint
        from pg_stat_user_tables
        where schemaname in ('intermediate', 'marts')
    ) as rows,
    pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint as wal_bytes,
    (
        select active_time from pg_stat_database where datname = current_database()
    ) as active_ms
