-- Let marts.sample_preview see, until the transaction ends, the settings with what is given
-- changed.
select
    set_config(
        'app.samples_preview',
        jsonb_build_object(
            'tenant_id', tenant_id,
            'ugc_tags', coalesce(%(ugc_tags)s::text[], ugc_tags),
            'tiktok_tags', coalesce(%(tiktok_tags)s::text[], tiktok_tags),
            'channel_patterns', coalesce(%(channel_patterns)s::text[], channel_patterns),
            'zero_price_only', coalesce(%(zero_price_only)s, zero_price_only)
        )::text,
        true
    )
from app.samples_config
where tenant_id = %(tenant_id)s
