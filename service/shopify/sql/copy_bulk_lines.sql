-- Takes lines of orders as they have been read.
copy pg_temp.bulk_lines from stdin with (null '␀')
