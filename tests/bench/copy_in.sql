copy public.bare_orders from stdin
