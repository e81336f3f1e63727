create table public.bare_orders (like shopify.orders including all)
