-- What makes an order a sample for one tenant, and who last decided it.
select
    s.ugc_tags,
    s.tiktok_tags,
    s.channel_patterns,
    s.zero_price_only,
    s.updated_at,
    (
        select c.changed_by
        from app.samples_config_changes as c
        where c.tenant_id = %(tenant_id)s
        order by c.changed_at desc
        limit 1
    ) as updated_by
from app.samples_config as s
where s.tenant_id = %(tenant_id)s
