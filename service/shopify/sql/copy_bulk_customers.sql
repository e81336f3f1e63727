-- Takes customers as they have been read.
copy pg_temp.bulk_customers from stdin with (null '␀')
