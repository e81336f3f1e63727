-- Takes what could not be read.
copy pg_temp.bulk_rejections from stdin with (null '␀')
