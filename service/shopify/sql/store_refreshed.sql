-- Puts a new pair of tokens, whole, in the place of the spent one. Only the holder of the lease
-- may: whoever was connected anew meanwhile keeps what they gave.
update app.connections
set
    sealed_secret = %(sealed_secret)s,
    key_id = %(key_id)s,
    last_four = %(last_four)s,
    access_expires_at = now() + make_interval(secs => %(expires_in)s),
    refresh_expires_at = coalesce(
        now() + make_interval(secs => %(refresh_expires_in)s), refresh_expires_at
    ),
    refresher = null,
    refresher_until = null
where tenant_id = %(tenant_id)s and provider = 'shopify' and refresher = %(lease)s
