-- Takes a part of the listing.
copy pg_temp.listed from stdin with (null '␀')
