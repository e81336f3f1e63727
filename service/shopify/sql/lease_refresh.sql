-- Makes this process the one that refreshes the token, or for longer, unless another is at it or
-- has done it: then no row comes back. The lease of a process that died ends by itself.
update app.connections
set refresher = %(lease)s, refresher_until = now() + make_interval(secs => %(seconds)s)
where
    tenant_id = %(tenant_id)s
    and provider = 'shopify'
    and sealed_secret = %(sealed_secret)s
    and (refresher is null or refresher = %(lease)s or refresher_until < now())
returning refresher
