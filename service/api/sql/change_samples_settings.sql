-- Change what is given, and keep what it replaces; no row when nothing would be different.
with former as (
    select
        ugc_tags,
        tiktok_tags,
        channel_patterns,
        zero_price_only
    from app.samples_config
    where tenant_id = %(tenant_id)s
    for update
),

wanted as (
    select
        coalesce(app.distinct_tags(%(ugc_tags)s::text[]), ugc_tags) as ugc_tags,
        coalesce(app.distinct_tags(%(tiktok_tags)s::text[]), tiktok_tags) as tiktok_tags,
        coalesce(
            app.distinct_tags(%(channel_patterns)s::text[]), channel_patterns
        ) as channel_patterns,
        coalesce(%(zero_price_only)s, zero_price_only) as zero_price_only
    from former
),

kept as (
    insert into app.samples_config_changes (
        tenant_id, changed_by, former_ugc_tags, former_tiktok_tags, former_channel_patterns,
        former_zero_price_only
    )
    select
        %(tenant_id)s,
        %(changed_by)s,
        f.ugc_tags,
        f.tiktok_tags,
        f.channel_patterns,
        f.zero_price_only
    from former as f
    cross join wanted as w
    where f is distinct from w
    returning tenant_id
)

update app.samples_config as s
set
    ugc_tags = w.ugc_tags,
    tiktok_tags = w.tiktok_tags,
    channel_patterns = w.channel_patterns,
    zero_price_only = w.zero_price_only,
    updated_at = now()
from wanted as w
cross join kept as k
where s.tenant_id = %(tenant_id)s and s.tenant_id = k.tenant_id
returning s.tenant_id
