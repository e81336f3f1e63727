-- Takes orders as they have been read, without their lines.
copy pg_temp.bulk_orders from stdin with (null '␀')
