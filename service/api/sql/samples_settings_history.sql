-- Former sample settings of one tenant, the one that was replaced last first.
select
    change_id,
    changed_at,
    changed_by,
    former_ugc_tags as ugc_tags,
    former_tiktok_tags as tiktok_tags,
    former_channel_patterns as channel_patterns,
    former_zero_price_only as zero_price_only
from app.samples_config_changes
where tenant_id = %(tenant_id)s and (%(change_id)s::uuid is null or change_id = %(change_id)s)
order by changed_at desc
limit %(row_limit)s
